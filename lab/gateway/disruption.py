"""Which pods a mutation takes away, and of which workload: a pure function of target, image before and diff.

It reads the same from a request in hand and from its record in the audit log, so that counting goes on after
a restart of the gateway.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.kube.objects import KubeObject, controller_of, labels_of, name_of, namespace_of
from lab.kube.request import RequestInfo

Operations = Iterable[dict[str, Any]]
REPLICATED = frozenset({"deployments", "statefulsets", "replicasets"})
_PLURALS = {
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "ReplicaSet": "replicasets",
    "DaemonSet": "daemonsets",
}
_MOST_PODS = 10_000


@dataclass(frozen=True, slots=True)
class Workload:
    """What keeps pods running. plural: of group apps; of a pod that nothing controls `pods`; of a controller
    whose size is not known here its kind."""

    plural: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.plural} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Disruption:
    """Pods of one workload that go away. Names are made up for pods that only their number is known of."""

    workload: Workload
    pods: tuple[str, ...]


def disruptions(info: RequestInfo, before: KubeObject | None, diff: Operations) -> tuple[Disruption, ...]:
    """What the request takes away; empty when it takes nothing, or when nothing was there before."""
    if not before:
        return ()
    if info.resource == "pods" and not info.group:
        if info.verb == "deletecollection":
            return _collection(info, before)
        if info.verb == "delete" or info.subresource == "eviction":
            return (Disruption(workload_of(before), (_identity(before),)),)
        return ()
    if info.group != "apps" or info.resource not in _PLURALS.values() or not info.name:
        return ()
    workload = Workload(info.resource, info.namespace, info.name)
    count = _removed(info, before, diff)
    return (Disruption(workload, tuple(f"{workload}#{n}" for n in range(count))),) if count else ()


def workload_of(pod: KubeObject) -> Workload:
    """The workload that a pod belongs to. A ReplicaSet that a Deployment made counts as the Deployment: its
    name is the Deployment's with the pod template's hash, which the pod carries as a label."""
    owner = controller_of(pod)
    if owner is None:
        return Workload("pods", namespace_of(pod), name_of(pod))
    kind, name = str(owner.get("kind")), str(owner.get("name"))
    template = labels_of(pod).get("pod-template-hash", "")
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        kind, name = "Deployment", name.removesuffix(f"-{template}")
    return Workload(_PLURALS.get(kind, kind), namespace_of(pod), name)


def _identity(pod: KubeObject) -> str:
    return str(pod.get("metadata", {}).get("uid") or f"{namespace_of(pod)}/{name_of(pod)}")


def _collection(info: RequestInfo, listed: KubeObject) -> tuple[Disruption, ...]:
    """Of a list in hand each pod's own workload; a record has only names, and one workload stands for all."""
    found: dict[Workload, list[str]] = {}
    for pod in listed.get("items") or ():
        found.setdefault(workload_of(pod), []).append(_identity(pod))
    for name in listed.get("names") or ():
        found.setdefault(Workload("pods", info.namespace, "*"), []).append(f"{info.namespace}/{name}")
    return tuple(Disruption(workload, tuple(pods)) for workload, pods in found.items())


def _removed(info: RequestInfo, before: KubeObject, diff: Operations) -> int:
    spec = before.get("spec") or {}
    replicas = _number(spec.get("replicas"), 1)
    if info.resource == "daemonsets":
        replicas = _number((before.get("status") or {}).get("desiredNumberScheduled"), 1)
    if info.verb in ("delete", "deletecollection"):
        return min(replicas, _MOST_PODS)
    removed, rolled = 0, False
    for operation in diff:
        path = str(operation.get("path", ""))
        if path in ("/spec/replicas", "/spec"):
            value = operation.get("value")
            now = value.get("replicas") if path == "/spec" and isinstance(value, dict) else value
            removed = replicas - _number(now, 1)
        rolled = rolled or path == "/spec" or path.startswith("/spec/template")
    at_once = _at_once(spec, replicas) if rolled else 0
    return min(max(removed, at_once, 0), _MOST_PODS)


def _at_once(spec: KubeObject, replicas: int) -> int:
    """How many pods a rollout of a new template may take away at once."""
    strategy = spec.get("strategy") or spec.get("updateStrategy") or {}
    if strategy.get("type") == "Recreate":
        return replicas
    if strategy.get("type") == "OnDelete" or not replicas:
        return 0
    most = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1)
    if isinstance(most, str) and most.endswith("%"):
        most = math.floor(replicas * _number(most[:-1], 0) / 100)
    return min(max(_number(most, 1), 0), replicas)


def _number(value: Any, default: int) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return default
