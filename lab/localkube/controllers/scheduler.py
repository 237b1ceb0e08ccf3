"""Binds pods to nodes: of those that fit, the one the pod prefers, away from its like, with the most room.

Source: pkg/scheduler.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from lab.kube.objects import KubeObject, controller_of, labels_of, name_of, namespace_of
from lab.kube.quantity import parse_quantity
from lab.kube.resources import Resource
from lab.localkube.controllers import fit
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import (
    Context,
    Controller,
    deleting,
    find_condition,
    key_of,
    with_condition,
)
from lab.localkube.controllers.pods import PODS
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent

RETRY = 10.0
"""Seconds after which an unschedulable pod is tried again even if nothing seems to have changed."""


class Scheduler(Controller):
    """Pods without a node → bindings."""

    name = "scheduler"
    component = "default-scheduler"
    listens = frozenset({"pods", "nodes"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._placed: dict[Key, tuple[str, dict[str, float], str]] = {}
        self._used: dict[str, dict[str, float]] = defaultdict(dict)
        self._alike: Counter[tuple[str, str]] = Counter()
        """How many pods of a controller (by uid) are on a node."""
        self._waiting: set[Key] = set()

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "nodes":
            same = event.previous is not None and _offer(event.previous) == _offer(event.object)
            return () if same else list(self._waiting)
        key = key_of(event.object)
        freed = self._account(key, None if event.type == "DELETED" else event.object)
        if event.type == "DELETED":
            self._waiting.discard(key)
        elif not event.object["spec"].get("nodeName"):
            return [key, *(self._waiting if freed else ())]
        return list(self._waiting) if freed else ()

    def _account(self, key: Key, pod: KubeObject | None) -> bool:
        """Keep each node's used resources; True when some became free."""
        node = pod["spec"].get("nodeName") if pod is not None and not podfacts.terminal(pod) else None
        placed = self._placed.get(key)
        if placed and placed[0] == node:
            return False
        if placed:
            used = self._used[placed[0]]
            for name, amount in placed[1].items():
                used[name] -= amount
            self._alike[placed[0], placed[2]] -= 1
            del self._placed[key]
        if node and pod is not None:
            wanted = fit.requests_of(pod)
            self._placed[key] = (node, wanted, _owner(pod))
            self._alike[node, _owner(pod)] += 1
            for name, amount in wanted.items():
                self._used[node][name] = self._used[node].get(name, 0.0) + amount
        return placed is not None

    def reconcile(self, key: Key) -> float | None:
        pod = self.cache.get("pods", *key)
        if pod is None or pod["spec"].get("nodeName") or deleting(pod) or podfacts.terminal(pod):
            self._waiting.discard(key)
            return None
        if pod["spec"].get("schedulerName", "default-scheduler") != "default-scheduler":
            return None
        if pod["spec"].get("schedulingGates"):
            message = "Scheduling is blocked due to non-empty scheduling gates"
            self._unscheduled(pod, "SchedulingGated", message)
            return None
        node, reasons = self._choose(pod)
        if node is None:
            return self._refuse(key, pod, reasons)
        self._waiting.discard(key)
        self.registry.bind(key[0], key[1], name_of(node))
        message = f"Successfully assigned {key[0]}/{key[1]} to {name_of(node)}"
        self.events.event(pod, "Normal", "Scheduled", message)
        return None

    def _choose(self, pod: KubeObject) -> tuple[KubeObject | None, Counter[str]]:
        """The best node, or None and how many nodes were refused for which reasons."""
        wanted = fit.requests_of(pod)
        reasons: Counter[str] = Counter()
        fitting = []
        for node in self.cache.all("nodes"):
            reason = fit.mismatched(pod, node) or fit.repelled(pod, node)
            lacking = [reason] if reason else fit.lacks(wanted, node, self._used[name_of(node)])
            reasons.update(lacking)
            if not lacking and not deleting(node):
                fitting.append(node)
        if len(fitting) < 2:
            return (fitting[0] if fitting else None), reasons
        return min(fitting, key=lambda node: self._rank(pod, node)), reasons

    def _rank(self, pod: KubeObject, node: KubeObject) -> tuple[float, float, int, float, str]:
        """The lowest is the best. Upstream adds up weights; here the first that differs decides."""
        owner = _owner(pod)
        return (
            fit.shunned(pod, node),
            -fit.preference(pod, node),
            self._alike[name_of(node), owner] if owner else 0,
            self._load(node),
            name_of(node),
        )

    def _load(self, node: KubeObject) -> float:
        """How full a node is: the mean used share of processor, memory and pods."""
        room, used = _room(node), self._used[name_of(node)]
        shares = [
            used.get(name, 0.0) / float(parse_quantity(room[name]))
            for name in ("cpu", "memory", "pods")
            if name in room and float(parse_quantity(room[name]))
        ]
        return sum(shares) / len(shares) if shares else 0.0

    def _refuse(self, key: Key, pod: KubeObject, reasons: Counter[str]) -> float:
        nodes = len(self.cache.all("nodes"))
        if nodes:
            counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            message = f"0/{nodes} nodes are available: {counts}."
        else:
            message = "no nodes available to schedule pods"
        if self._unscheduled(pod, "Unschedulable", message):
            self.events.event(pod, "Warning", "FailedScheduling", message)
        self._waiting.add(key)
        return RETRY

    def _unscheduled(self, pod: KubeObject, reason: str, message: str) -> bool:
        """Say in PodScheduled why a pod waits; False when it says so already."""
        present = find_condition(pod, "PodScheduled") or {}
        if (present.get("reason"), present.get("message")) == (reason, message):
            return False
        condition: KubeObject = {"type": "PodScheduled", "status": "False", "reason": reason}
        condition |= {"message": message, "lastTransitionTime": self.timestamp()}
        status = dict(pod.get("status") or {})
        status["conditions"] = with_condition(status.get("conditions") or (), condition)
        current = self.cache.get("pods", namespace_of(pod), name_of(pod)) or pod
        return self.write_status(PODS, current, status)


def _owner(pod: KubeObject) -> str:
    """The uid of its controller, or an empty string."""
    return str((controller_of(pod) or {}).get("uid") or "")


def _offer(node: KubeObject) -> tuple[object, ...]:
    """What of a node decides where pods fit."""
    return (node.get("spec"), labels_of(node), _room(node))


def _room(node: KubeObject) -> KubeObject:
    """status.allocatable."""
    room: KubeObject = (node.get("status") or {}).get("allocatable") or {}
    return room
