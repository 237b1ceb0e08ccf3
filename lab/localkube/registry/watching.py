"""Watches: initial state, the changes since, then live changes, seen through selectors.

Source: k8s.io/apiserver/pkg/storage/cacher. An object that comes to match is ADDED; one that ceases to match
is DELETED, as it was when it last matched, at the resource version of the change.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lab.kube.objects import KubeObject, labels_of
from lab.kube.resources import Resource
from lab.kube.selectors import ALL_FIELDS, EVERYTHING, FieldSelector, LabelSelector
from lab.kube.status import gone
from lab.localkube.protocols import WatchEvent
from lab.localkube.registry.fields import field_value
from lab.localkube.registry.served import Storage
from lab.localkube.store.store import Change

QUEUE_LIMIT = 10_000
"""Events that a watch may lag behind before it is told to list again."""

BOOKMARK_SECONDS = 60.0
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Filter:
    """Namespace, labels and fields that an object must have."""

    namespace: str = ""
    labels: LabelSelector = EVERYTHING
    fields: FieldSelector = ALL_FIELDS

    def matches(self, obj: KubeObject) -> bool:
        """Does an object, in the form in which its resource is served, pass?"""
        metadata = obj["metadata"]
        if self.namespace and metadata.get("namespace") != self.namespace:
            return False
        if not self.labels.empty and not self.labels.matches(labels_of(obj)):
            return False
        return self.fields.empty or self.fields.matches(lambda path: field_value(obj, path))


class Watch:
    """An asynchronous iterator of events; `aclose` ends it, from whichever side."""

    def __init__(
        self,
        resource: Resource,
        storage: Storage,
        accepts: Filter,
        *,
        bookmarks: bool,
        version: Callable[[], int],
        on_close: Callable[[Watch], None],
    ) -> None:
        self.storage = storage
        self._resource = resource
        self._filter = accepts
        self._bookmarks = bookmarks
        self._version = version
        self._on_close = on_close
        self._queue: deque[WatchEvent] = deque()
        self._wakeup = asyncio.Event()
        self._closed = False

    def start(self, initial: Iterable[KubeObject], rv: int, *, announce_end: bool) -> None:
        """Queue present objects as ADDED; then, if asked, the bookmark that ends them."""
        for obj in initial:
            self._queue.append(WatchEvent("ADDED", obj, int(obj["metadata"]["resourceVersion"])))
        if announce_end:
            self._queue.append(self._bookmark(rv, {INITIAL_EVENTS_END: "true"}))
        self._wakeup.set()

    def offer(self, change: Change) -> None:
        """Take a stored change, if it concerns this watch."""
        if self._closed:
            return
        obj = self.storage.read(change.object)
        previous = self.storage.read(change.previous) if change.previous is not None else None
        now = change.type != "DELETED" and self._filter.matches(obj)
        before = previous is not None and self._filter.matches(previous)
        if now:
            event = WatchEvent(
                "MODIFIED" if before else "ADDED", obj, change.rv, previous if before else None
            )
        elif before:
            event = WatchEvent("DELETED", self._last_seen(change, obj, previous), change.rv, previous)
        else:
            return
        if len(self._queue) >= QUEUE_LIMIT:
            self._overflow()
            return
        self._queue.append(event)
        self._wakeup.set()

    @staticmethod
    def _last_seen(change: Change, obj: KubeObject, previous: KubeObject | None) -> KubeObject:
        """What a DELETED event carries: the final state, or the last matching one at the new version."""
        if change.type == "DELETED" or previous is None:
            return obj
        return previous | {"metadata": previous["metadata"] | {"resourceVersion": str(change.rv)}}

    def _overflow(self) -> None:
        status = gone("the watch has fallen too far behind and must list again").status()
        self._queue.clear()
        self._queue.append(WatchEvent("ERROR", status, self._version()))
        self._end()

    def _bookmark(self, rv: int, annotations: dict[str, str] | None = None) -> WatchEvent:
        metadata: KubeObject = {"resourceVersion": str(rv), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        obj = {"kind": self._resource.kind, "apiVersion": self._resource.api_version, "metadata": metadata}
        return WatchEvent("BOOKMARK", obj, rv)

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._wakeup.clear()
            try:
                async with asyncio.timeout(BOOKMARK_SECONDS if self._bookmarks else None):
                    await self._wakeup.wait()
            except TimeoutError:
                return self._bookmark(self._version())
        return self._queue.popleft()

    def queued(self, most: int) -> Sequence[WatchEvent]:
        """Up to so many events that are there without waiting."""
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def finish(self) -> None:
        """End the watch when its reader has taken what is queued."""
        if not self._closed:
            self._end()

    def _end(self) -> None:
        self._closed = True
        self._on_close(self)
        self._wakeup.set()

    async def aclose(self) -> None:
        """End the watch: nothing more is queued, and a reader that waits gets StopAsyncIteration."""
        if not self._closed:
            self._end()
        self._queue.clear()
        self._wakeup.set()
