"""The controllers' view of the cluster: every present object, indexed by place, kind and owner.

It is fed synchronously with each stored change, so it never lags behind the registry. Like an informer's
cache it hands out shared snapshots: read them, never write to them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from lab.kube.objects import KubeObject, controller_of, name_of, namespace_of
from lab.kube.resources import Resource
from lab.localkube.protocols import Registry, WatchEvent

ObjectId = tuple[str, str, str]
"""Resource key (`pods`, `deployments.apps`), namespace, name."""

_EVENTS = ("events", "events.events.k8s.io")


def collection(resource: Resource) -> str:
    """The key of a resource's stored objects; both Event APIs share one."""
    return "events" if resource.key in _EVENTS else resource.key


def owner_uids(obj: KubeObject) -> set[str]:
    """The uids of all owners of an object."""
    return {str(ref.get("uid", "")) for ref in obj.get("metadata", {}).get("ownerReferences") or ()}


class Cache:
    """Objects by (resource key, namespace, name), and who owns whom."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self._objects: dict[str, dict[str, dict[str, KubeObject]]] = defaultdict(lambda: defaultdict(dict))
        self._controlled: dict[tuple[str, str, str], dict[str, None]] = defaultdict(dict)
        self._dependents: dict[str, dict[ObjectId, None]] = defaultdict(dict)

    def load(self, registry: Registry) -> list[tuple[Resource, KubeObject]]:
        """Take in everything the registry holds; returns it."""
        loaded = []
        for resource in registry.resources():
            if "watch" not in resource.verbs or resource.key == _EVENTS[1]:
                continue
            if resource.stored_version:
                continue
            for obj in registry.list(resource).items:
                self.put(resource, obj)
                loaded.append((resource, obj))
        return loaded

    def apply(self, resource: Resource, event: WatchEvent) -> None:
        """Take in one change."""
        if event.type == "DELETED":
            self.drop(resource, event.object)
        elif event.type in ("ADDED", "MODIFIED"):
            self.put(resource, event.object)

    def put(self, resource: Resource, obj: KubeObject) -> None:
        """Store an object, replacing the one of the same name."""
        key = collection(resource)
        namespace, name = namespace_of(obj), name_of(obj)
        self.resources[key] = resource
        present = self._objects[key][namespace].get(name)
        if present is not None:
            self._unindex(key, present)
        self._objects[key][namespace][name] = obj
        self._controlled[(key, namespace, _controller_uid(obj))][name] = None
        for uid in owner_uids(obj):
            self._dependents[uid][(key, namespace, name)] = None

    def drop(self, resource: Resource, obj: KubeObject) -> None:
        """Forget an object."""
        key = collection(resource)
        present = self._objects[key][namespace_of(obj)].pop(name_of(obj), None)
        if present is not None:
            self._unindex(key, present)

    def _unindex(self, key: str, obj: KubeObject) -> None:
        namespace, name = namespace_of(obj), name_of(obj)
        place = (key, namespace, _controller_uid(obj))
        self._controlled[place].pop(name, None)
        if not self._controlled[place]:
            del self._controlled[place]
        for uid in owner_uids(obj):
            self._dependents[uid].pop((key, namespace, name), None)
            if not self._dependents[uid]:
                del self._dependents[uid]

    def get(self, key: str, namespace: str, name: str) -> KubeObject | None:
        """One object, or None. `namespace` is empty for cluster-scoped ones."""
        return self._objects[key][namespace].get(name)

    def all(self, key: str, namespace: str | None = None) -> list[KubeObject]:
        """The objects of a resource, in one namespace or in all of them."""
        if namespace is not None:
            return list(self._objects[key][namespace].values())
        return [obj for objects in self._objects[key].values() for obj in objects.values()]

    def count(self, key: str) -> int:
        """How many objects of a resource there are."""
        return sum(len(objects) for objects in self._objects[key].values())

    def controlled(self, key: str, namespace: str, uid: str) -> list[KubeObject]:
        """Objects whose controller has this uid; with an empty one, those that no controller has."""
        names = self._controlled.get((key, namespace, uid), ())
        objects = self._objects[key][namespace]
        return [objects[name] for name in names]

    def dependents(self, uid: str) -> Iterator[tuple[ObjectId, KubeObject]]:
        """Everything that names this uid as an owner."""
        for identity in list(self._dependents.get(uid, ())):
            obj = self.get(*identity)
            if obj is not None:
                yield identity, obj

    def in_namespace(self, namespace: str) -> Iterable[str]:
        """The resource keys that have objects in a namespace."""
        return [key for key, spaces in list(self._objects.items()) if namespace and spaces.get(namespace)]

    def owner(self, namespace: str, reference: KubeObject) -> tuple[Resource | None, KubeObject | None]:
        """The object an ownerReference means: its resource if known, and itself if it lives.

        A namespaced owner is looked for in `namespace` alone.
        """
        for key, resource in list(self.resources.items()):
            group = str(reference.get("apiVersion", "")).rpartition("/")[0]
            if resource.kind == reference.get("kind") and resource.group == group:
                found = self.get(key, namespace if resource.namespaced else "", str(reference.get("name")))
                if found is not None and found["metadata"].get("uid") == reference.get("uid"):
                    return resource, found
                return resource, None
        return None, None


def _controller_uid(obj: KubeObject) -> str:
    reference = controller_of(obj)
    return str(reference.get("uid", "")) if reference else ""
