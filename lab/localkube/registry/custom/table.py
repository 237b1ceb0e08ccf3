"""The custom resources of a store: which are served, kept up with their definitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.kube.objects import KubeObject, name_of
from lab.kube.resources import Resource
from lab.localkube.registry.custom.resource import CustomResource, resources_of, version_priority
from lab.localkube.store.store import Change, Store

DEFINITIONS_KEY = "customresourcedefinitions.apiextensions.k8s.io"

Path = tuple[str, str, str]
"""Group, version and plural."""


class CustomResources:
    """Every version of every established definition.

    builtin: the built-in resources, which win over definitions.
    """

    def __init__(self, store: Store, builtin: Sequence[Resource]) -> None:
        self._builtin = tuple(builtin)
        self._builtin_keys = {resource.key for resource in builtin}
        self._by_path: dict[Path, CustomResource] = {}
        self._stored: dict[str, CustomResource] = {}
        self._listeners: list[Callable[[str], None]] = []
        self.resources: tuple[Resource, ...] = ()
        """The built-in resources, then the served versions; in a group the preferred version comes first."""
        for definition in store.values(DEFINITIONS_KEY):
            self._learn(definition)
        self._order()
        store.subscribe(self._notice)

    def find(self, group: str, version: str, plural: str) -> CustomResource | None:
        """The served resource at a path, or None."""
        return self._by_path.get((group, version, plural))

    def stored(self, key: str) -> CustomResource | None:
        """The resource under whose form a collection is stored; kept when its definition is gone."""
        return self._stored.get(key)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call back with the key of a collection whenever its resource has changed or has gone."""
        self._listeners.append(listener)

    def _notice(self, change: Change) -> None:
        if change.resource != DEFINITIONS_KEY:
            return
        key = name_of(change.object)
        before = [resource for resource in self._by_path.values() if resource.key == key]
        for resource in before:
            del self._by_path[(resource.group, resource.version, resource.plural)]
        if change.type != "DELETED":
            self._learn(change.object)
        after = [resource for resource in self._by_path.values() if resource.key == key]
        self._order()
        if before and before != after:
            for listener in self._listeners:
                listener(key)

    def _learn(self, definition: KubeObject) -> None:
        if name_of(definition) in self._builtin_keys or not is_established(definition):
            return
        for resource in resources_of(definition):
            if resource.served:
                self._by_path[(resource.group, resource.version, resource.plural)] = resource
            if resource.version == resource.storage_version:
                self._stored[resource.key] = resource

    def _order(self) -> None:
        custom = sorted(
            self._by_path.values(),
            key=lambda each: (each.group, version_priority(each.version), each.plural),
        )
        self.resources = (*self._builtin, *custom)


def is_established(definition: KubeObject) -> bool:
    """Is a definition served?"""
    return any(
        condition.get("type") == "Established" and condition.get("status") == "True"
        for condition in (definition.get("status") or {}).get("conditions") or ()
    )
