"""Empties a namespace that is being deleted, then lets it go. Source: pkg/controller/namespace."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from lab.kube.objects import namespace_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers.base import Controller, deleting, with_condition
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent

NAMESPACES = builtin("Namespace")
FINALIZER = "kubernetes"
RECHECK = 5.0


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
        counts = ", ".join(f"{each} has {count} resource instances" for each, count in remaining.items())
        condition = {
            "type": "NamespaceContentRemaining",
            "status": "True",
            "reason": "SomeResourcesRemain",
            "message": f"Some resources are remaining: {counts}",
            "lastTransitionTime": self.timestamp(),
        }
        status = dict(namespace.get("status") or {})
        status["conditions"] = with_condition(status.get("conditions") or (), condition)
        self.write_status(NAMESPACES, namespace, status)
