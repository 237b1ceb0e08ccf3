"""The table columns of custom resources: the name, and what their definition adds.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor/tableconvertor.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from lab.kube.objects import KubeObject
from lab.localkube.api.columns import AGE, NAME, Column, age
from lab.localkube.registry.custom.paths import find_all
from lab.localkube.registry.custom.resource import CustomResource


def custom_columns(resource: CustomResource) -> Sequence[Column]:
    """The columns of one version."""
    return (NAME, *map(_column, resource.columns)) if resource.columns else (NAME, AGE)


def _column(given: KubeObject) -> Column:
    path, kind = given["jsonPath"], given["type"]

    def cell(obj: KubeObject, now: datetime) -> Any:
        found = find_all(obj, path)
        return _cell(found[0], kind, now) if found else None

    return Column(
        given["name"],
        cell,
        kind,
        int(given.get("priority") or 0),
        given.get("format", ""),
        given.get("description", f"Custom resource definition column (in JSONPath format): {path}"),
    )


def _cell(value: Any, kind: str, now: datetime) -> Any:
    """A value as a cell of a type; None when it cannot be one."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "integer":
        return int(value) if number else None
    if kind == "number":
        return value if number else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date":
        return age(value, now) if isinstance(value, str) else None
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if value is not None else None
