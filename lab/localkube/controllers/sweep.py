"""Sweeps away what has outlived its use: old events, too many ended pods, pods of vanished nodes.

Source: pkg/controller/podgc; events have the API server's `--event-ttl` of one hour.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import (
    Controller,
    created,
    deleting,
    find_condition,
    key_of,
    seconds_since,
)
from lab.localkube.controllers.pods import PODS
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import DeleteOptions, WatchEvent

EVENTS = builtin("Event", "")
EVENT_TTL = 3600.0
EVENT_LIMIT = 5000
"""Events kept at most; the oldest go first, a tenth at a time."""
TERMINATED_LIMIT = 500
"""Ended pods kept at most, as `--terminated-pod-gc-threshold`."""
INTERVAL = 60.0
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
"""The taint by which a person says that a lost node is really off, so that its pods may be forgotten."""


class EventSweeper(Controller):
    """Deletes events after an hour, or earlier when there are too many."""

    name = "event-ttl-controller"
    listens = frozenset({"events"})

    def begin(self) -> None:
        self.queue.add(("", "sweep"))

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        crowded = event.type == "ADDED" and self.cache.count("events") > EVENT_LIMIT
        return [("", "sweep")] if crowded else ()

    def reconcile(self, key: Key) -> float | None:
        events = sorted(self.cache.all("events"), key=_last)
        surplus = len(events) - EVENT_LIMIT
        keep_from = surplus + EVENT_LIMIT // 10 if surplus > 0 else 0
        now = self.now()
        for position, event in enumerate(events):
            if position >= keep_from and seconds_since(now, _last(event)) < EVENT_TTL:
                break
            self.delete(EVENTS, event, policy=None)
        return INTERVAL


def _last(event: KubeObject) -> str:
    """When it last happened, RFC 3339."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )


class PodSweeper(Controller):
    """Deletes pods whose node is gone, terminating ones of a node that is out of service, and the oldest
    ended ones beyond the limit."""

    name = "pod-garbage-collector"
    listens = frozenset({"pods", "nodes"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "nodes":
            if event.type != "DELETED" and not _out_of_service(event.object):
                return ()
            node = name_of(event.object)
            pods = self.cache.all("pods")
            return [key_of(pod) for pod in pods if pod["spec"].get("nodeName") == node]
        home = self.cache.get("nodes", "", str(event.object["spec"].get("nodeName") or ""))
        if home is not None and deleting(event.object) and _out_of_service(home):
            return [key_of(event.object)]
        ended = podfacts.terminal(event.object) and not (event.previous and podfacts.terminal(event.previous))
        return [("", "ended")] if ended and event.type != "DELETED" else ()

    def reconcile(self, key: Key) -> float | None:
        if key == ("", "ended"):
            self._sweep_ended()
            return None
        pod = self.cache.get("pods", *key)
        name = pod["spec"].get("nodeName") if pod else None
        if pod is None or not name:
            return None
        node = self.cache.get("nodes", "", name)
        if node is None:
            self._remove(pod, failed="PodGC: node no longer exists")
        elif deleting(pod) and _out_of_service(node):
            self._remove(pod, failed="PodGC: node is out of service")
        return None

    def _sweep_ended(self) -> None:
        ended = [pod for pod in self.cache.all("pods") if podfacts.terminal(pod) and not deleting(pod)]
        ended.sort(key=created)
        for pod in ended[: max(0, len(ended) - TERMINATED_LIMIT)]:
            self._remove(pod)

    def _remove(self, pod: KubeObject, failed: str = "") -> None:
        """Delete a pod without waiting for a kubelet. failed: why it has, unless it has ended already."""
        if failed and not podfacts.terminal(pod):
            status = dict(pod.get("status") or {}) | {"phase": "Failed", "message": failed}
            self.write_status(PODS, pod, status)
        uid = pod["metadata"]["uid"]
        wish = DeleteOptions(grace_period_seconds=0, preconditions={"uid": uid})
        self.registry.delete(PODS, namespace_of(pod), name_of(pod), wish)


def _out_of_service(node: KubeObject) -> bool:
    """Has somebody said of a node that is not ready that it will not come back as it was?"""
    tainted = any(taint.get("key") == OUT_OF_SERVICE for taint in node["spec"].get("taints") or ())
    return tainted and (find_condition(node, "Ready") or {}).get("status") != "True"
