"""Recording Kubernetes Events the way client-go's recorder does: repeats are counted, floods are damped.

Source: k8s.io/client-go/tools/record (events_cache.go): an identical event raises `count`; more than ten
similar ones in ten minutes are combined under one message; a source may say 25 things about one object at
once and one more every five minutes.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from typing import Generic, TypeVar

from lab.core.clock import Clock
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.protocols import Registry

log = logging.getLogger(__name__)

EVENTS = builtin("Event", "")
REMEMBERED = 4096
"""How many distinct events, and how many sources, are remembered for counting."""
SIMILAR_LIMIT = 10
SIMILAR_WINDOW = 600.0
BURST = 25
REFILL_PER_SECOND = 1 / 300
MESSAGE_LIMIT = 1024

V = TypeVar("V")


class _Recent(Generic[V]):
    """A mapping that forgets what was used longest ago."""

    def __init__(self, make: Callable[[], V]) -> None:
        self._make = make
        self._items: OrderedDict[tuple[str, ...], V] = OrderedDict()

    def __getitem__(self, key: tuple[str, ...]) -> V:
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = self._make()
            if len(self._items) > REMEMBERED:
                self._items.popitem(last=False)
        self._items.move_to_end(key)
        return item


@dataclass(slots=True)
class _Bucket:
    tokens: float = BURST
    at: float | None = None

    def take(self, now: float) -> bool:
        """Use one token if there is one."""
        if self.at is not None:
            self.tokens = min(BURST, self.tokens + (now - self.at) * REFILL_PER_SECOND)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    at: float = float("-inf")

    def add(self, message: str, now: float) -> bool:
        """Note a message; True when there have been too many different ones lately."""
        if now - self.at > SIMILAR_WINDOW:
            self.messages.clear()
        self.at = now
        if len(self.messages) < SIMILAR_LIMIT:
            self.messages.add(message)
        return len(self.messages) >= SIMILAR_LIMIT and message not in self.messages


@dataclass(slots=True)
class _Stored:
    name: str = ""
    count: int = 0


class EventRecorder:
    """Writes Events about objects in the name of one component, such as `kubelet` on host `node-1`."""

    def __init__(self, registry: Registry, clock: Clock, component: str, host: str = "") -> None:
        self._registry = registry
        self._clock = clock
        self._source = {"component": component} | ({"host": host} if host else {})
        self._stored: _Recent[_Stored] = _Recent(_Stored)
        self._similar: _Recent[_Similar] = _Recent(_Similar)
        self._buckets: _Recent[_Bucket] = _Recent(_Bucket)

    def event(self, obj: KubeObject, type: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Say something about an object. `type` is Normal or Warning.

        `field_path` names a part, such as `spec.containers{app}`. Never raises: an event that cannot be
        written (its namespace is going away, say) is logged and lost.
        """
        involved = reference(obj, field_path)
        about = (involved["kind"], involved.get("namespace", ""), involved["name"], involved.get("uid", ""))
        now = self._clock.monotonic()
        message = message[:MESSAGE_LIMIT]
        alike = (*about, field_path, type, reason)
        if self._similar[alike].add(message, now):
            key, message = (*alike, ""), f"(combined from similar events): {message}"[:MESSAGE_LIMIT]
        else:
            key = (*alike, message)
        if not self._buckets[about].take(now):
            return
        try:
            self._write(self._stored[key], involved, type, reason, message)
        except StatusError as error:
            log.debug("event %s about %s is lost: %s", reason, "/".join(about[:3]), error.message)

    def _write(self, stored: _Stored, involved: dict[str, str], type: str, reason: str, message: str) -> None:
        instant = self._clock.now().astimezone(UTC)
        stamp = instant.strftime("%Y-%m-%dT%H:%M:%SZ")
        namespace = involved.get("namespace") or "default"
        if stored.name:
            change = {"count": stored.count + 1, "lastTimestamp": stamp, "message": message}
            try:
                self._registry.patch(EVENTS, namespace, stored.name, change, "application/merge-patch+json")
                stored.count += 1
                return
            except StatusError as error:
                if error.code != 404:
                    raise
        stored.name = f"{involved['name']}.{int(instant.timestamp() * 1e6) * 1000 + _serial():x}"
        stored.count = 1
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": stored.name, "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": type,
            "source": self._source,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source.get("host", ""),
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        }
        try:
            self._registry.create(EVENTS, namespace, event)
        except StatusError:
            stored.name = ""
            raise


_counter = 0


def _serial() -> int:
    """A number below 1000 that tells events of one microsecond apart."""
    global _counter
    _counter = (_counter + 1) % 1000
    return _counter


def reference(obj: KubeObject, field_path: str = "") -> dict[str, str]:
    """The ObjectReference of an object; empty fields are left out."""
    metadata = obj.get("metadata", {})
    found = {
        "kind": str(obj.get("kind", "")),
        "namespace": namespace_of(obj),
        "name": name_of(obj),
        "uid": str(metadata.get("uid") or ""),
        "apiVersion": str(obj.get("apiVersion", "")),
        "resourceVersion": str(metadata.get("resourceVersion") or ""),
        "fieldPath": field_path,
    }
    return {key: value for key, value in found.items() if value or key in ("kind", "name")}
