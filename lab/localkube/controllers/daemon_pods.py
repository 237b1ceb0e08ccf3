"""The pods of a DaemonSet: which nodes get one, and which of them stands for its node, as pure functions.

Source: pkg/controller/daemon/daemon_controller.go, pkg/controller/daemon/util.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import datetime

from lab.kube.objects import KubeObject, labels_of, name_of
from lab.kube.resources import builtin
from lab.localkube.controllers import fit
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import created, deleting
from lab.localkube.controllers.revisions import POD_REVISION
from lab.localkube.controllers.rollout import resolve

DAEMONSETS = builtin("DaemonSet")
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""The annotation in which the registry counts the changes of a DaemonSet's template."""
POD_GENERATION = "pod-template-generation"
_NODE = "node.kubernetes.io/"
_TOLERATED = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)
_NAME_FIELD = "metadata.name"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def new_pod(owner: KubeObject, node: str, digest: str) -> KubeObject:
    """The pod that the present template asks for on a node, still to be bound by the scheduler."""
    pod = podfacts.from_template(owner["spec"]["template"], DAEMONSETS, owner)
    pod["metadata"]["labels"][POD_REVISION] = digest
    generation = (owner["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION)
    if generation:
        pod["metadata"]["labels"][POD_GENERATION] = generation
    spec = pod["spec"]
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    here = [{"key": _NAME_FIELD, "operator": "In", "values": [node]}]
    terms = (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
    bound = [{**term, "matchFields": here} for term in terms]
    affinity[_REQUIRED] = {"nodeSelectorTerms": bound or [{"matchFields": here}]}
    spec["tolerations"] = _tolerations(spec)
    return pod


def _tolerations(spec: KubeObject) -> list[KubeObject]:
    """A daemon's own tolerations, and those of everything that may be wrong with its node."""
    tolerated = [*_TOLERATED, *([("network-unavailable", "NoSchedule")] if spec.get("hostNetwork") else [])]
    added = [{"key": _NODE + key, "operator": "Exists", "effect": effect} for key, effect in tolerated]
    names = {(each["key"], each["effect"]) for each in added}
    own = [
        each
        for each in spec.get("tolerations") or ()
        if (each.get("key"), each.get("effect")) not in names or each.get("operator") != "Exists"
    ]
    return [*own, *added]


def node_of(pod: KubeObject) -> str:
    """The node that a pod is on or waits for; empty when it is meant for none."""
    bound = pod["spec"].get("nodeName")
    if bound:
        return str(bound)
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    for term in affinity.get("nodeSelectorTerms") or ():
        for each in term.get("matchFields") or ():
            if each.get("key") == _NAME_FIELD and each.get("operator") == "In" and len(each["values"]) == 1:
                return str(each["values"][0])
    return ""


def eligible(owner: KubeObject, node: KubeObject) -> tuple[bool, bool]:
    """(Should a pod be started on the node? May one that is there stay?)"""
    template = copy.copy(owner["spec"]["template"].get("spec") or {})
    if template.get("nodeName") not in (None, "", name_of(node)):
        return False, False
    template["tolerations"] = _tolerations(template)
    pod = {"spec": template}
    if fit.mismatched(pod, node):
        return False, False
    taints = node["spec"].get("taints") or ()
    borne = [fit.tolerates(template["tolerations"], taint) for taint in taints]
    effects = [taint.get("effect") for taint, bears in zip(taints, borne, strict=True) if not bears]
    return not {"NoSchedule", "NoExecute"} & set(effects), "NoExecute" not in effects


def updated(owner: KubeObject, pod: KubeObject, digest: str) -> bool:
    """Is it made of the present template?"""
    generation = (owner["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION)
    labels = labels_of(pod)
    return labels.get(POD_REVISION) == digest or bool(generation and labels.get(POD_GENERATION) == generation)


def available_in(owner: KubeObject, pod: KubeObject, now: datetime) -> float | None:
    """Seconds until it counts as available: 0 when it does now, None while it is not ready."""
    return podfacts.available_in(pod, int(owner["spec"].get("minReadySeconds") or 0), now)


def oldest_first(pods: Iterable[KubeObject]) -> list[KubeObject]:
    """Bound before unbound ones, then by age, and of one second the ready ones."""

    def rank(pod: KubeObject) -> tuple[object, ...]:
        return not pod["spec"].get("nodeName"), created(pod), not podfacts.ready(pod), name_of(pod)

    return sorted(pods, key=rank)


def pair(
    owner: KubeObject, pods: Iterable[KubeObject], digest: str
) -> tuple[KubeObject | None, KubeObject | None] | None:
    """The one new and the one old pod of a node; None when there are two of a kind."""
    new: KubeObject | None = None
    old: KubeObject | None = None
    for pod in pods:
        if deleting(pod):
            continue
        if updated(owner, pod, digest):
            if new is not None:
                return None
            new = pod
        elif old is not None:
            return None
        else:
            old = pod
    return new, old


def limits(owner: KubeObject, nodes: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods for so many nodes, both rounded up; both 0 become (0, 1)."""
    rolling = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    surge = resolve(rolling.get("maxSurge", 0), nodes, up=True)
    unavailable = resolve(rolling.get("maxUnavailable", 1), nodes, up=True)
    return surge, unavailable if surge or unavailable else 1


def status_of(
    owner: KubeObject,
    nodes: Iterable[KubeObject],
    by_node: dict[str, list[KubeObject]],
    digest: str,
    now: datetime,
) -> tuple[KubeObject, float | None]:
    """The status for these nodes and pods, and the seconds until the next pod becomes available."""
    desired = current = astray = ready = available = fresh = 0
    waits: list[float] = []
    for node in nodes:
        pods = by_node.get(name_of(node)) or []
        if not eligible(owner, node)[0]:
            astray += bool(pods)
            continue
        desired += 1
        if not pods:
            continue
        current += 1
        pod = oldest_first(pods)[0]
        wait = available_in(owner, pod, now)
        ready += wait is not None
        available += wait == 0
        fresh += updated(owner, pod, digest)
        if wait:
            waits.append(wait)
    counts = {
        "updatedNumberScheduled": fresh,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    status = {
        "currentNumberScheduled": current,
        "numberMisscheduled": astray,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": owner["metadata"].get("generation", 0),
        **{field: count for field, count in counts.items() if count},
    }
    return status, min(waits, default=None)
