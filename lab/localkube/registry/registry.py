"""The registry: what a read or write of the Kubernetes API means, over the store.

open_registry ─► LocalRegistry ─► Writer, Deleter, Evictor ─► Core ─► Store
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lab.core.clock import Clock
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.patch import APPLY_PATCH
from lab.kube.resources import Resource
from lab.kube.selectors import EVERYTHING, SelectorError, parse_label_selector
from lab.kube.status import bad_request, gone, invalid
from lab.localkube.protocols import (
    AdmissionRequest,
    DeleteOptions,
    ListResult,
    WatchEvent,
    WriteOptions,
)
from lab.localkube.registry.addresses import AddressBook
from lab.localkube.registry.binding import bind_pod
from lab.localkube.registry.core import Core
from lab.localkube.registry.deletion import Deleter
from lab.localkube.registry.eviction import Evictor
from lab.localkube.registry.fields import parse_fields
from lab.localkube.registry.history import objects_at
from lab.localkube.registry.paging import Pager, check_not_future, version_number
from lab.localkube.registry.served import (
    NAMESPACES,
    SERVICES,
    served,
    storage_of,
    stored_resource,
)
from lab.localkube.registry.watching import Filter, Watch
from lab.localkube.registry.writes import Writer
from lab.localkube.store.store import Change, CompactedError, Store

_WRITE = WriteOptions()
_DELETE = DeleteOptions()
TOLERATION_SECONDS = 300
"""How long a pod stays on a lost node, upstream's default."""
INITIAL_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


class LocalRegistry:
    """The whole of `lab.localkube.protocols.Registry`. One event loop, one thread."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._writer = Writer(core)
        self._deleter = Deleter(core)
        self._evictor = Evictor(core, self._deleter)
        self._pager = Pager()
        self._watches: dict[str, set[Watch]] = defaultdict(set)
        self._subscribers: list[Callable[[Resource, WatchEvent], None]] = []
        core.store.subscribe(self._dispatch)
        core.custom.on_change(self._end_watches)

    @property
    def rv(self) -> int:
        """The resource version of the latest write."""
        return self._core.store.rv

    def close(self) -> None:
        """Close the store and let its directory go."""
        self._core.store.close()

    def resource(self, group: str, version: str, plural: str) -> Resource:
        """The served resource. Raises StatusError 404."""
        return self._core.custom.find(group, version, plural) or served(group, version, plural)

    def resources(self) -> Sequence[Resource]:
        """All that is served."""
        return self._core.custom.resources

    def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """One object. Raises StatusError 404."""
        return self._core.need(resource, namespace, name)

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
    ) -> ListResult:
        """Objects in name order. Raises StatusError 400, 410 or 504."""
        accepts = self._filter(resource, namespace, label_selector, field_selector)
        filtered = not (accepts.labels.empty and accepts.fields.empty)
        if continue_token:
            if resource_version not in ("", "0"):
                raise bad_request("specifying resource version is not allowed when using continue")
            return self._pager.after(continue_token, limit, filtered=filtered)
        at = self._list_version(resource_version, resource_version_match)
        items = self._matching(resource, accepts, at)
        return self._pager.first(items, at or self.rv, limit, filtered=filtered)

    def _list_version(self, version: str, match: str) -> int:
        """The earlier version that a list asks for exactly; 0 for the present."""
        if match and not version:
            message = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
            raise invalid(
                "ListOptions", "meta.k8s.io", "", [("resourceVersionMatch", "FieldValueForbidden", message)]
            )
        wanted = version_number(version)
        check_not_future(wanted, self.rv)
        return wanted if match == "Exact" and wanted < self.rv else 0

    def _filter(self, resource: Resource, namespace: str, labels: str, fields: str) -> Filter:
        try:
            selector = parse_label_selector(labels) if labels else EVERYTHING
        except SelectorError as error:
            raise bad_request(str(error)) from error
        return Filter(namespace if resource.namespaced else "", selector, parse_fields(resource, fields))

    def _matching(self, resource: Resource, accepts: Filter, at: int = 0) -> Sequence[KubeObject]:
        storage = storage_of(resource)
        name = accepts.fields.exact("metadata.name")
        namespace = accepts.namespace or accepts.fields.exact("metadata.namespace") or ""
        stored: Iterable[KubeObject]
        if at:
            stored = self._stored_at(storage.key, at, namespace)
        elif name and (namespace or not resource.namespaced):
            one = self._core.store.get(storage.key, namespace, name)
            stored = [one] if one is not None else []
        else:
            stored = self._core.store.values(storage.key, namespace)
        objects = map(storage.read, stored)
        if accepts.labels.empty and accepts.fields.empty:
            return [*objects]
        return [obj for obj in objects if accepts.matches(obj)]

    def _stored_at(self, key: str, rv: int, namespace: str) -> Iterable[KubeObject]:
        try:
            return objects_at(self._core.store, key, rv, namespace)
        except CompactedError as error:
            raise gone(f"The resourceVersion for the provided list is too old: {rv} ({self.rv})") from error

    def create(
        self, resource: Resource, namespace: str, obj: KubeObject, options: WriteOptions = _WRITE
    ) -> KubeObject:
        """Store a new object. Raises StatusError 400, 403, 404, 409 or 422."""
        return self._writer.create(resource, namespace, obj, options)

    def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        obj: KubeObject,
        *,
        subresource: str = "",
        options: WriteOptions = _WRITE,
    ) -> KubeObject:
        """Replace an object or its status, scale or finalize part. Raises StatusError 400, 404, 409, 422."""
        return self._writer.update(resource, namespace, name, obj, subresource, options)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str,
        *,
        subresource: str = "",
        options: WriteOptions = _WRITE,
    ) -> tuple[KubeObject, bool]:
        """Change an object by a patch; True when an apply created it."""
        if content_type.split(";")[0].strip() == APPLY_PATCH:
            return self._writer.apply(resource, namespace, name, patch, subresource, options)
        return self._writer.patch(resource, namespace, name, patch, content_type, subresource, options), False

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        delete: DeleteOptions = _DELETE,
        options: WriteOptions = _WRITE,
    ) -> tuple[KubeObject, bool]:
        """Delete or mark for deletion; True when the object is gone now."""
        return self._deleter.delete(resource, namespace, name, delete, options)

    def delete_collection(
        self,
        resource: Resource,
        namespace: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
        delete: DeleteOptions = _DELETE,
        options: WriteOptions = _WRITE,
    ) -> ListResult:
        """Delete every match; the objects as they were left."""
        found = self.list(resource, namespace, label_selector=label_selector, field_selector=field_selector)
        left = [
            self._deleter.delete(resource, namespace_of(obj), name_of(obj), delete, options, admit_as="")[0]
            for obj in found.items
        ]
        return ListResult(left, self.rv)

    def evict(self, namespace: str, name: str, eviction: KubeObject, options: WriteOptions = _WRITE) -> None:
        """A delete inside the disruption budget. Raises StatusError 404, 409, 429 or 500."""
        self._evictor.evict(namespace, name, eviction, options)

    def bind(
        self,
        namespace: str,
        name: str,
        node: str,
        options: WriteOptions = _WRITE,
        metadata: KubeObject | None = None,
    ) -> None:
        """Assign a pod to a node; it gets the labels and annotations of `metadata`.

        Raises StatusError 404 or 409.
        """
        bind_pod(self._core, namespace, name, node, options, metadata or {})

    def admit(self, request: AdmissionRequest) -> None:
        """Hold what is no write of an object against the admission policies. Raises StatusError."""
        self._core.policies.admit(request)

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        since: int | None = None,
        label_selector: str = "",
        field_selector: str = "",
        send_initial_events: bool = False,
        bookmarks: bool = False,
    ) -> Watch:
        """Changes from now on, or after `since`. Raises StatusError 400, 410 or 504 at once."""
        accepts = self._filter(resource, namespace, label_selector, field_selector)
        check_not_future(since or 0, self.rv)
        storage = storage_of(resource)
        watches = self._watches[storage.key]
        watch = Watch(
            resource,
            storage,
            accepts,
            bookmarks=bookmarks,
            version=lambda: self.rv,
            on_close=watches.discard,
        )
        if not since or send_initial_events:
            announce = send_initial_events and bookmarks
            watch.start(self._matching(resource, accepts), self.rv, announce_end=announce)
        else:
            try:
                missed = self._core.store.changes_since(storage.key, since)
            except CompactedError as error:
                raise gone(f"too old resource version: {since} ({error.oldest})") from error
            for change in missed:
                watch.offer(change)
        watches.add(watch)
        return watch

    def subscribe(self, callback: Callable[[Resource, WatchEvent], None]) -> Callable[[], None]:
        """Call back synchronously after every stored change of any resource; returns the unsubscriber."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback) if callback in self._subscribers else None

    def _end_watches(self, key: str) -> None:
        """A custom resource is not served any more as it was: who watches has to begin anew."""
        for watch in tuple(self._watches[key]):
            watch.finish()

    def _dispatch(self, change: Change) -> None:
        for watch in tuple(self._watches[change.resource]):
            watch.offer(change)
        if self._subscribers:
            event = WatchEvent(change.type, change.object, change.rv, change.previous)
            resource = self._core.custom.stored(change.resource) or stored_resource(change.resource)
            for subscriber in tuple(self._subscribers):
                subscriber(resource, event)


def open_registry(
    path: Path,
    *,
    clock: Clock,
    service_range: Iterable[str],
    chance: random.Random | None = None,
    toleration_seconds: int = TOLERATION_SECONDS,
) -> LocalRegistry:
    """Open or create the registry in a directory.

    `service_range` holds the addresses for cluster IPs, in the order in which they are given out; `chance`
    makes uids and generated names (the system's generator by default); `toleration_seconds` is how long a pod
    that does not say stays on a lost node.
    Raises lab.errors.ProviderError when another process has the directory open.
    """
    store = Store(path)
    addresses = AddressBook(service_range, store.values(SERVICES.key))
    core = Core(store, clock, addresses, chance or random.SystemRandom(), toleration_seconds)
    registry = LocalRegistry(core)
    if not store.count(NAMESPACES.key):
        for name in INITIAL_NAMESPACES:
            registry.create(NAMESPACES, "", {"metadata": {"name": name}})
    return registry
