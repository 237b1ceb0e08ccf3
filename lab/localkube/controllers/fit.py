"""Does a pod fit a node? Taints, selectors, affinity to nodes and resources, each as a pure function.

Each answers with an empty string, or with the words that a FailedScheduling event counts nodes by.
Source: pkg/scheduler/framework/plugins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lab.kube.objects import KubeObject, labels_of, name_of
from lab.kube.quantity import parse_quantity
from lab.localkube.controllers.selectors import requirement_holds

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def requests_of(pod: KubeObject) -> dict[str, float]:
    """What the scheduler counts for a pod: the sum of its containers, at least its largest init container,
    plus overhead, and one of `pods`."""
    spec = pod["spec"]
    wanted: dict[str, float] = {}
    sidecars: dict[str, float] = {}
    for container in spec.get("containers") or ():
        _add(wanted, _requests(container))
    peak: dict[str, float] = {}
    for container in spec.get("initContainers") or ():
        asked = _requests(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, asked)
            asked = {}
        for name in asked.keys() | sidecars.keys():
            peak[name] = max(peak.get(name, 0.0), asked.get(name, 0.0) + sidecars.get(name, 0.0))
    _add(wanted, sidecars)
    for name, value in peak.items():
        wanted[name] = max(wanted.get(name, 0.0), value)
    _add(wanted, {k: float(parse_quantity(v)) for k, v in (spec.get("overhead") or {}).items()})
    wanted["pods"] = 1.0
    return wanted


def _requests(container: KubeObject) -> dict[str, float]:
    asked = (container.get("resources") or {}).get("requests") or {}
    return {name: float(parse_quantity(value)) for name, value in asked.items()}


def _add(to: dict[str, float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        to[name] = to.get(name, 0.0) + value


def lacks(wanted: Mapping[str, float], node: KubeObject, used: Mapping[str, float]) -> list[str]:
    """The reasons why requests do not fit what a node has left; empty when they do."""
    room = (node.get("status") or {}).get("allocatable") or {}
    reasons = []
    for name, amount in wanted.items():
        if name not in room and name in ("pods", "ephemeral-storage"):
            continue
        free = float(parse_quantity(room.get(name, 0))) - used.get(name, 0.0)
        if amount > 0 and amount > free + 1e-9:
            reasons.append("Too many pods" if name == "pods" else f"Insufficient {name}")
    return reasons


def tolerates(tolerations: Iterable[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Does any toleration bear the taint?"""
    for each in tolerations:
        if each.get("effect") not in (None, "", taint.get("effect")):
            continue
        operator = each.get("operator") or "Equal"
        if not each.get("key"):
            if operator == "Exists":
                return True
            continue
        if each["key"] != taint.get("key"):
            continue
        if operator == "Exists" or (each.get("value") or "") == (taint.get("value") or ""):
            return True
    return False


def repelled(pod: KubeObject, node: KubeObject) -> str:
    """The reason why the node's taints or cordon keep the pod away."""
    tolerations = pod["spec"].get("tolerations") or ()
    if node["spec"].get("unschedulable") and not tolerates(tolerations, UNSCHEDULABLE_TAINT):
        return "node(s) were unschedulable"
    for taint in node["spec"].get("taints") or ():
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(tolerations, taint):
            value = f": {taint.get('value') or ''}"
            return f"node(s) had untolerated taint {{{taint.get('key')}{value}}}"
    return ""


def shunned(pod: KubeObject, node: KubeObject) -> int:
    """How many of the node's PreferNoSchedule taints the pod does not bear."""
    tolerations = pod["spec"].get("tolerations") or ()
    soft = (t for t in node["spec"].get("taints") or () if t.get("effect") == "PreferNoSchedule")
    return sum(not tolerates(tolerations, taint) for taint in soft)


def preference(pod: KubeObject, node: KubeObject) -> int:
    """The sum of the weights of the pod's preferred node affinity terms that the node matches."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    terms = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return sum(int(each["weight"]) for each in terms if _term(each.get("preference") or {}, node))


def mismatched(pod: KubeObject, node: KubeObject) -> str:
    """The reason why nodeSelector, nodeName or node affinity exclude the node."""
    labels = labels_of(node)
    selector = pod["spec"].get("nodeSelector") or {}
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    chosen = all(labels.get(key) == value for key, value in selector.items())
    if chosen and affinity:
        chosen = any(_term(term, node) for term in affinity.get("nodeSelectorTerms") or ())
    return "" if chosen else "node(s) didn't match Pod's node affinity/selector"


def _term(term: Mapping[str, Any], node: KubeObject) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(requirement_holds(each, labels_of(node)) for each in expressions) and all(
        requirement_holds(each, {"metadata.name": name_of(node)}) for each in fields
    )
