"""Turns node conditions and cordons into taints, stale heartbeats into Unknown, and NoExecute into evictions.

    lease not renewed ─► conditions Unknown ─► taints ─► pods deleted after their tolerationSeconds
                                           └► pods Ready=False

Source: pkg/controller/nodelifecycle, pkg/controller/tainteviction.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers import fit
from lab.localkube.controllers.base import (
    Context,
    Controller,
    deleting,
    find_condition,
    seconds_since,
    stamp,
    with_condition,
)
from lab.localkube.controllers.pods import PODS
from lab.localkube.controllers.queue import Key
from lab.localkube.protocols import WatchEvent

NODES = builtin("Node")
LEASES = "leases.coordination.k8s.io"
LEASE_NAMESPACE = "kube-node-lease"
LEASED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""Conditions that only the kubelet can know."""
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
}
DISRUPTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
}
OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *PRESSURE.values()})


class NodeLifecycle(Controller):
    """Node → taints; a node without heartbeat → conditions Unknown; its pods → Ready False."""

    name = "node-controller"
    listens = frozenset({"nodes", LEASES})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._grace = context.node_grace

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "nodes":
            return [("", name_of(event.object))]
        if namespace_of(event.object) == LEASE_NAMESPACE and event.type == "ADDED":
            return [("", name_of(event.object))]
        return ()

    def reconcile(self, key: Key) -> float | None:
        node = self.cache.get("nodes", *key)
        if node is None:
            return None
        wait = self._heartbeat(node)
        node = self.cache.get("nodes", *key) or node
        if (find_condition(node, "Ready") or {}).get("status", "True") != "True":
            self._mark_pods(name_of(node))
        present = node["spec"].get("taints") or []
        wanted = [taint for taint in present if taint.get("key") not in OURS]
        for taint in _wanted(node):
            same = (
                each for each in present if (each["key"], each["effect"]) == (taint["key"], taint["effect"])
            )
            extra = {"timeAdded": self.timestamp()} if taint["effect"] == "NoExecute" else {}
            wanted.append(next(same, taint | extra))
        if wanted != present:
            self.patch(NODES, node, {"spec": {"taints": wanted or None}})
        return wait

    def _heartbeat(self, node: KubeObject) -> float | None:
        """Call a node Unknown whose lease is stale; seconds until its lease may be."""
        lease = self.cache.get(LEASES, LEASE_NAMESPACE, name_of(node))
        renewed = (lease or {}).get("spec", {}).get("renewTime")
        if not renewed:
            return None
        left = self._grace - seconds_since(self.now(), renewed)
        if left > 0:
            return left + 0.5
        ready = find_condition(node, "Ready")
        if ready and ready.get("status") != "Unknown":
            status = copy.deepcopy(node["status"])
            for condition in status["conditions"]:
                if condition["type"] in LEASED and condition["status"] != "Unknown":
                    condition |= {
                        "status": "Unknown",
                        "reason": "NodeStatusUnknown",
                        "message": "Kubelet stopped posting node status.",
                        "lastTransitionTime": self.timestamp(),
                    }
            self.write_status(NODES, node, status)
            self.events.event(
                node, "Normal", "NodeNotReady", f"Node {name_of(node)} status is now: NodeNotReady"
            )
        return self._grace

    def _mark_pods(self, node: str) -> None:
        """Nobody can say any more that the pods of such a node are ready."""
        for pod in self.cache.all("pods"):
            ready = find_condition(pod, "Ready")
            if pod["spec"].get("nodeName") != node or ready is None or ready["status"] == "False":
                continue
            status = dict(pod["status"])
            changed = ready | {"status": "False", "lastTransitionTime": self.timestamp()}
            status["conditions"] = with_condition(status["conditions"], changed)
            self.write_status(PODS, pod, status)
            self.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")


def _wanted(node: KubeObject) -> Iterable[dict[str, Any]]:
    """The taints that a node's spec and conditions call for."""
    if node["spec"].get("unschedulable"):
        yield {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    ready = (find_condition(node, "Ready") or {}).get("status")
    if ready in ("False", "Unknown"):
        key = NOT_READY if ready == "False" else UNREACHABLE
        yield {"key": key, "effect": "NoSchedule"}
        yield {"key": key, "effect": "NoExecute"}
    for condition, key in PRESSURE.items():
        if (find_condition(node, condition) or {}).get("status") == "True":
            yield {"key": key, "effect": "NoSchedule"}


class TaintEviction(Controller):
    """Pods on a node with NoExecute taints that they do not bear, or no longer → deleted."""

    name = "taint-eviction-controller"
    listens = frozenset({"nodes", "pods"})

    def keys(self, resource: Resource, event: WatchEvent) -> Iterable[Key]:
        if resource.plural == "pods":
            node = self.cache.get("nodes", "", str(event.object["spec"].get("nodeName") or ""))
            relevant = event.type == "ADDED" or (
                event.previous is not None and not event.previous["spec"].get("nodeName")
            )
            if node is None or not relevant or not _no_execute(node):
                return ()
            return [(namespace_of(event.object), name_of(event.object))]
        if not _no_execute(event.object) or event.type == "DELETED":
            return ()
        if event.previous and _no_execute(event.previous) == _no_execute(event.object):
            return ()
        name = name_of(event.object)
        return [
            (namespace_of(pod), name_of(pod))
            for pod in self.cache.all("pods")
            if pod["spec"].get("nodeName") == name
        ]

    def reconcile(self, key: Key) -> float | None:
        pod = self.cache.get("pods", *key)
        if pod is None or deleting(pod):
            return None
        node = self.cache.get("nodes", "", str(pod["spec"].get("nodeName") or ""))
        if node is None:
            return None
        wait = self._patience(pod, node)
        if wait is None or wait > 0:
            return wait
        message = f"Marking for deletion Pod {'/'.join(key)}"
        self.events.event(pod, "Normal", "TaintManagerEviction", message)
        condition = DISRUPTED | {"lastTransitionTime": self.timestamp()}
        status = dict(pod.get("status") or {})
        status["conditions"] = with_condition(status.get("conditions") or (), condition)
        self.write_status(PODS, pod, status)
        self.delete(PODS, pod, policy=None)
        return None

    def _patience(self, pod: KubeObject, node: KubeObject) -> float | None:
        """Seconds that a pod may stay: None for ever, 0 or less not at all."""
        waits = []
        for taint in _no_execute(node):
            bearing = [t for t in pod["spec"].get("tolerations") or () if fit.tolerates([t], taint)]
            if not bearing:
                return 0.0
            bounded = [
                float(t["tolerationSeconds"]) for t in bearing if t.get("tolerationSeconds") is not None
            ]
            if bounded:
                since = seconds_since(self.now(), taint.get("timeAdded") or stamp(self.now()))
                waits.append(min(bounded) - since)
        return min(waits, default=None)


def _no_execute(node: KubeObject) -> list[KubeObject]:
    return [t for t in node["spec"].get("taints") or () if t.get("effect") == "NoExecute"]
