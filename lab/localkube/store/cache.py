"""The current objects in memory: decoded once, shared by all readers, in key order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from lab.kube.objects import KubeObject

Key = tuple[str, str]
"""Namespace (empty for cluster scope) and name."""


class Collection:
    """The objects of one resource, ordered by namespace and name as etcd orders its keys."""

    __slots__ = ("_keys", "_objects")

    def __init__(self) -> None:
        self._objects: dict[Key, KubeObject] = {}
        self._keys: list[Key] = []

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, namespace: str, name: str) -> KubeObject | None:
        """The object, or None."""
        return self._objects.get((namespace, name))

    def put(self, namespace: str, name: str, obj: KubeObject) -> None:
        """Add or replace an object."""
        key = (namespace, name)
        if key not in self._objects:
            insort(self._keys, key)
        self._objects[key] = obj

    def remove(self, namespace: str, name: str) -> None:
        """Forget an object. Raises KeyError."""
        key = (namespace, name)
        del self._objects[key]
        del self._keys[bisect_left(self._keys, key)]

    def values(self, namespace: str = "", after: Key | None = None) -> Iterator[KubeObject]:
        """Objects of a namespace, or of all, in order, beginning behind `after`."""
        keys, objects = self._keys, self._objects
        first = bisect_right(keys, after) if after else 0
        if namespace:
            first = max(first, bisect_left(keys, (namespace, "")))
            last = bisect_left(keys, (namespace + "\0", ""))
        else:
            last = len(keys)
        return (objects[key] for key in keys[first:last])
