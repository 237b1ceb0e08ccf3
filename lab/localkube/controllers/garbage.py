"""Garbage collection by ownerReferences: background, foreground and orphan.

Source: pkg/controller/garbagecollector.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.kube.objects import KubeObject, namespace_of
from lab.kube.resources import Resource
from lab.localkube.controllers.base import Controller, deleting
from lab.localkube.controllers.cache import collection
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class GarbageCollector(Controller):
    """Deletes what all owners have left, and finishes foreground and orphaning deletions.

    Keys are (resource key, namespace, name).
    """

    name = "garbage-collector"
    listens = frozenset({"*"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        key = collection(resource)
        if key == "events":
            return ()
        obj, metadata = event.object, event.object["metadata"]
        found: list[Key] = []
        if event.type == "DELETED":
            found += [identity for identity, _ in self.cache.dependents(metadata["uid"])]
            found += self._waiting_owners(obj)
        else:
            references = metadata.get("ownerReferences")
            before = event.previous["metadata"] if event.previous else {}
            moved = references != before.get("ownerReferences")
            if moved and event.previous:
                found += self._waiting_owners(event.previous)
            if (references and moved) or (deleting(obj) and metadata.get("finalizers")):
                found.append((key, namespace_of(obj), metadata["name"]))
        return found

    def _waiting_owners(self, obj: KubeObject) -> list[Key]:
        """Owners whose foreground deletion may have waited for this object."""
        found: list[Key] = []
        for reference in obj["metadata"].get("ownerReferences") or ():
            resource, owner = self.cache.owner(namespace_of(obj), reference)
            if resource and owner and FOREGROUND in (owner["metadata"].get("finalizers") or ()):
                found.append((collection(resource), namespace_of(owner), owner["metadata"]["name"]))
        return found

    def reconcile(self, key: Key) -> float | None:
        obj = self.cache.get(*key)
        if obj is None:
            return None
        resource = self.cache.resources[key[0]]
        finalizers = obj["metadata"].get("finalizers") or ()
        if deleting(obj):
            if ORPHAN in finalizers:
                self._orphan(resource, obj)
            elif FOREGROUND in finalizers:
                self._foreground(resource, obj)
            return None
        if obj["metadata"].get("ownerReferences"):
            self._collect(resource, obj)
        return None

    def _collect(self, resource: Resource, obj: KubeObject) -> None:
        """Delete an object without living owners; drop references to dead ones when others live."""
        solid: list[KubeObject] = []
        dangling: list[KubeObject] = []
        waiting: list[KubeObject] = []
        for reference in obj["metadata"]["ownerReferences"]:
            owner_resource, owner = self.cache.owner(namespace_of(obj), reference)
            if owner is None:
                known = owner_resource is not None or self._served(reference)
                (dangling if known else solid).append(reference)
            elif deleting(owner) and FOREGROUND in (owner["metadata"].get("finalizers") or ()):
                waiting.append(reference)
            else:
                solid.append(reference)
        if solid:
            if dangling or waiting:
                self.patch(resource, obj, {"metadata": {"ownerReferences": solid}})
        elif waiting and any(True for _ in self.cache.dependents(obj["metadata"]["uid"])):
            self.delete(resource, obj, policy="Foreground")
        else:
            self.delete(resource, obj, policy=None if resource.key == "pods" else "Background")

    def _foreground(self, resource: Resource, obj: KubeObject) -> None:
        """Delete the dependents; let the owner go when none that blocks is left."""
        blocked = False
        for identity, dependent in self.cache.dependents(obj["metadata"]["uid"]):
            blocks = any(
                ref.get("uid") == obj["metadata"]["uid"] and ref.get("blockOwnerDeletion")
                for ref in dependent["metadata"]["ownerReferences"]
            )
            blocked = blocked or blocks
            if not deleting(dependent):
                self.queue.add(identity)
        if not blocked:
            self._drop_finalizer(resource, obj, FOREGROUND)

    def _orphan(self, resource: Resource, obj: KubeObject) -> None:
        """Strip the dependents' references to an owner, then let it go."""
        uid = obj["metadata"]["uid"]
        for identity, dependent in self.cache.dependents(uid):
            rest = [ref for ref in dependent["metadata"]["ownerReferences"] if ref.get("uid") != uid]
            owned = self.cache.resources[identity[0]]
            self.patch(owned, dependent, {"metadata": {"ownerReferences": rest or None}})
        self._drop_finalizer(resource, obj, ORPHAN)

    def _served(self, reference: KubeObject) -> bool:
        """Is the kind of an owner served? What belongs to a kind that nothing serves is left alone."""
        group = str(reference.get("apiVersion", "")).rpartition("/")[0]
        kind = reference.get("kind")
        return any(each.kind == kind and each.group == group for each in self.registry.resources())

    def _drop_finalizer(self, resource: Resource, obj: KubeObject, finalizer: str) -> None:
        rest = [each for each in obj["metadata"].get("finalizers") or () if each != finalizer]
        self.patch(resource, obj, {"metadata": {"finalizers": rest or None}})
