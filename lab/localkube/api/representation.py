"""The forms in which an object, a list or a change goes out: itself, metadata only, or a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.localkube.api.columns import Column
from lab.localkube.api.custom_columns import custom_columns
from lab.localkube.api.media import Accepted
from lab.localkube.api.pod_columns import row_conditions
from lab.localkube.api.printers import COLUMNS, GENERIC
from lab.localkube.protocols import ListResult
from lab.localkube.registry.custom.resource import CustomResource


class Representation:
    """How one request wants its answer. `include` (Object, Metadata, None) is what a table's rows carry."""

    def __init__(self, resource: Resource, accepted: Accepted, now: datetime, include: str = "Metadata"):
        self.resource = resource
        self.accepted = accepted
        self._now = now
        self._include = include or "Metadata"
        self._has_head = False

    @property
    def is_table(self) -> bool:
        """Is it a table that is wanted?"""
        return self.accepted.kind == "Table"

    def one(self, obj: KubeObject, now: datetime | None = None) -> KubeObject:
        """A single object; `now` for ages when time has passed since the request."""
        if not self.accepted.kind or obj.get("kind") == "Status":
            return obj
        if self.is_table:
            metadata = {"resourceVersion": obj.get("metadata", {}).get("resourceVersion", "")}
            return self._table([obj], metadata, now or self._now)
        return self._partial(obj)

    def bookmark(self, obj: KubeObject) -> KubeObject:
        """The object of a BOOKMARK event."""
        if self.is_table:
            return self._table([], {"resourceVersion": obj["metadata"]["resourceVersion"]}, self._now)
        return self._partial(obj) if self.accepted.kind else obj

    def many(self, result: ListResult) -> KubeObject:
        """A page of a list. Only items of custom resources carry kind and apiVersion, as upstream."""
        custom = isinstance(self.resource, CustomResource)
        metadata: KubeObject = {"resourceVersion": str(result.rv)}
        if result.continue_token:
            metadata["continue"] = result.continue_token
        if result.remaining:
            metadata["remainingItemCount"] = result.remaining
        if self.is_table:
            return self._table(result.items, metadata, self._now)
        if self.accepted.kind:
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": f"meta.k8s.io/{self.accepted.version}",
                "metadata": metadata,
                "items": [self._partial(item) for item in result.items],
            }
        return {
            "kind": self.resource.list_kind,
            "apiVersion": self.resource.api_version,
            "metadata": metadata,
            "items": [*result.items] if custom else [_untyped(item) for item in result.items],
        }

    def _partial(self, obj: KubeObject) -> KubeObject:
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": f"meta.k8s.io/{self.accepted.version or 'v1'}",
            "metadata": obj.get("metadata", {}),
        }

    def _table(self, items: Sequence[KubeObject], metadata: KubeObject, now: datetime) -> KubeObject:
        columns = (
            custom_columns(self.resource)
            if isinstance(self.resource, CustomResource)
            else COLUMNS.get(self.resource.key, GENERIC)
        )
        head = None if self._has_head else [column.definition() for column in columns]
        self._has_head = True  # the columns come with the first event of a watch alone
        return {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{self.accepted.version}",
            "metadata": metadata,
            "columnDefinitions": head,
            "rows": [self._row(columns, item, now) for item in items],
        }

    def _row(self, columns: Sequence[Column], obj: KubeObject, now: datetime) -> KubeObject:
        row: KubeObject = {"cells": [column.cell(obj, now) for column in columns], "object": None}
        if self.resource.key == "pods" and (conditions := row_conditions(obj)):
            row["conditions"] = conditions
        if self._include == "Object":
            row["object"] = obj
        elif self._include == "Metadata":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": obj.get("metadata", {}),
            }
        return row


def _untyped(obj: KubeObject) -> KubeObject:
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}
