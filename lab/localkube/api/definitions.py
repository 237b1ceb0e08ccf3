"""The definitions that OpenAPI documents may refer to: those of built-in kinds and of custom resources."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping

from lab.kube.resources import Resource
from lab.kube.schema import Schema, definition_name, definitions
from lab.localkube.registry.custom.resource import CustomResource, list_schema

Kind = tuple[str, str, str]
"""Group, version and kind."""


class Definitions:
    """Schemas by name, and the names of kinds. `custom` holds the schemas of custom resources alone."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.custom: dict[str, Schema] = {}
        self._names: dict[Kind, str] = {}
        for resource in resources:
            if isinstance(resource, CustomResource):
                self._add(resource)
        self.table: Mapping[str, Schema] = ChainMap(self.custom, dict(definitions()))

    def _add(self, resource: CustomResource) -> None:
        name, list_name = resource.published_name, f"{resource.published_name}List"
        group, version = resource.group, resource.version
        self.custom[name] = resource.published
        self.custom[list_name] = list_schema(name, group, version, resource.list_kind)
        self._names[(group, version, resource.kind)] = name
        self._names[(group, version, resource.list_kind)] = list_name

    def name(self, kind: Kind) -> str | None:
        """The name of a kind's definition, or None when there is none."""
        return self._names.get(kind) or definition_name(*kind)
