"""Objects as they were: the present, with the changes since taken back."""

from __future__ import annotations

from collections.abc import Iterator

from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.localkube.store.cache import Key
from lab.localkube.store.store import Store


def objects_at(store: Store, resource: str, rv: int, namespace: str = "") -> Iterator[KubeObject]:
    """The objects of a resource, of one namespace or of all, in key order, as they were at a version.

    Raises CompactedError when the changes since are no longer complete.
    """
    objects: dict[Key, KubeObject] = {
        (namespace_of(obj), name_of(obj)): obj for obj in store.values(resource, namespace)
    }
    for change in reversed(store.changes_since(resource, rv)):
        key = (change.namespace, change.name)
        if change.previous is None:
            objects.pop(key, None)
        else:
            objects[key] = change.previous
    return (objects[key] for key in sorted(objects) if namespace in ("", key[0]))
