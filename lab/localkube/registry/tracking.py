"""Keeping managedFields up to date on ordinary writes.

Writes of this process's own controllers name no field manager. They are tracked only on objects that are
tracked already, so that the many status writes of pods stay cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.localkube.protocols import WriteOptions
from lab.localkube.registry.core import Core
from lab.localkube.registry.custom.resource import CustomResource
from lab.localkube.registry.decoding import blank
from lab.localkube.registry.ownership import (
    Manager,
    created_fields,
    read_managers,
    track_update,
    write_managers,
)
from lab.localkube.registry.schemas import schema_of

_OWN_MANAGER = "localkube"
_FORGET: list[KubeObject] = [{}]
"""managedFields in a request that asks to forget all managers; an empty list does not."""


def blank_of(resource: Resource) -> KubeObject:
    """What an object of a resource has that nobody gave it."""
    if isinstance(resource, CustomResource):
        return {"metadata": {}}
    return blank(resource.group, resource.version, resource.kind)


class Tracker:
    """Writes `metadata.managedFields`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def author(self, resource: Resource, name: str, operation: str, subresource: str = "") -> Manager:
        """A manager that writes now and owns nothing yet. As upstream, one of a scale has no time."""
        time = "" if subresource == "scale" else self._core.timestamp()
        return Manager(name, operation, resource.api_version, subresource, time)

    def own_new(
        self,
        resource: Resource,
        new: KubeObject,
        options: WriteOptions,
        managers: Sequence[Manager] | None,
    ) -> None:
        """Say who set the fields of a new object, in place; `managers` is what an apply found out."""
        schema = schema_of(resource)
        if managers is None and options.field_manager and schema is not None:
            author = self.author(resource, options.field_manager, "Update")
            managers = [replace(author, paths=created_fields(new, schema, "", blank_of(resource)))]
        write_managers(new["metadata"], managers or ())

    def own_changes(
        self,
        resource: Resource,
        old: KubeObject,
        new: KubeObject,
        subresource: str,
        options: WriteOptions,
        managers: Sequence[Manager] | None,
    ) -> None:
        """Say who set what in a changed object, in place; `managers` is what an apply found out.

        Entries in the request replace the stored ones: that is how kubectl hands fields over from
        client-side to server-side apply.
        """
        metadata, schema = new["metadata"], schema_of(resource)
        given = metadata.get("managedFields")
        forget = given == _FORGET
        if managers is None:
            managers = [] if forget else read_managers(metadata if given else old["metadata"])
            if (managers or options.field_manager) and schema is not None and not forget:
                scope = subresource if subresource in ("status", "scale") else ""
                author = self.author(resource, options.field_manager or _OWN_MANAGER, "Update", scope)
                managers = track_update(old, new, schema, managers, author)
        write_managers(metadata, managers)
