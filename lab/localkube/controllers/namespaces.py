"""Empties a namespace that is being deleted, then lets it go. Source: pkg/controller/namespace."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable

from lab.kube.objects import KubeObject, namespace_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers.base import Controller, deleting, with_condition
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent

NAMESPACES = builtin("Namespace")
FINALIZER = "kubernetes"
RECHECK = 5.0
_WELL = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}
"""The conditions of a namespace that is being deleted, and what they say when all is well."""


class NamespaceController(Controller):
    """Namespace with a deletionTimestamp → nothing."""

    name = "namespace-controller"
    listens = frozenset({"*"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.key == "namespaces":
            return [("", event.object["metadata"]["name"])] if deleting(event.object) else ()
        namespace = namespace_of(event.object)
        if not namespace:
            return ()
        owner = self.cache.get("namespaces", "", namespace)
        return [("", namespace)] if owner is not None and deleting(owner) else ()

    def reconcile(self, key: Key) -> float | None:
        namespace = self.cache.get("namespaces", *key)
        if namespace is None or not deleting(namespace):
            return None
        name = key[1]
        remaining = self._empty(name)
        namespace = self.cache.get("namespaces", *key)
        if namespace is None:
            return None
        if remaining:
            self._report(key, remaining)
            return RECHECK
        finalizers = namespace["spec"].get("finalizers") or []
        if FINALIZER in finalizers:
            changed = copy.deepcopy(namespace)
            changed["spec"]["finalizers"] = [each for each in finalizers if each != FINALIZER]
            self.registry.update(NAMESPACES, "", name, changed, subresource="finalize")
        return None

    def _empty(self, name: str) -> dict[str, int]:
        """Ask for the deletion of everything inside; what is still there, by resource key."""
        remaining = {}
        for key in self.cache.in_namespace(name):
            resource = self.cache.resources[key]
            for obj in self.cache.all(key, name):
                if not deleting(obj):
                    self.delete(resource, obj, policy=None if key == "pods" else "Background")
            left = len(self.cache.all(key, name))
            if left:
                remaining[key] = left
        return remaining

    def _report(self, key: Key, remaining: dict[str, int]) -> None:
        namespace = self.cache.get("namespaces", *key)
        if namespace is None:
            return
        counts = [
            f"{each if '.' in each else f'{each}.'} has {count} resource instances"
            for each, count in sorted(remaining.items())
        ]
        holders = [
            f"{finalizer} in {count} resource instances"
            for finalizer, count in sorted(self._finalizers(key[1], remaining).items())
        ]
        found = {
            "NamespaceContentRemaining": ("SomeResourcesRemain", "Some resources are remaining: ", counts),
            "NamespaceFinalizersRemaining": (
                "SomeFinalizersRemain",
                "Some content in the namespace has finalizers remaining: ",
                holders,
            ),
        }
        status = dict(namespace.get("status") or {})
        conditions: Iterable[KubeObject] = status.get("conditions") or ()
        for kind, (reason, message) in _WELL.items():
            state = "False"
            if kind in found and found[kind][2]:
                state, reason = "True", found[kind][0]
                message = found[kind][1] + ", ".join(found[kind][2])
            condition = {"type": kind, "status": state, "reason": reason, "message": message}
            conditions = with_condition(conditions, condition | {"lastTransitionTime": self.timestamp()})
        status["conditions"] = list(conditions)
        self.write_status(NAMESPACES, namespace, status)

    def _finalizers(self, name: str, remaining: Iterable[str]) -> Counter[str]:
        """How many of the objects that are still there have each finalizer."""
        return Counter(
            finalizer
            for key in remaining
            for obj in self.cache.all(key, name)
            for finalizer in obj["metadata"].get("finalizers") or ()
        )
