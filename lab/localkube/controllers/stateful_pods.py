"""The pods of a StatefulSet: their names, identities and states, as pure functions.

Source: pkg/controller/statefulset/stateful_set_utils.go.
"""

from __future__ import annotations

import re
from datetime import datetime

from lab.kube.objects import KubeObject, labels_of, name_of
from lab.kube.resources import builtin
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import deleting
from lab.localkube.controllers.revisions import POD_REVISION

STATEFULSETS = builtin("StatefulSet")
POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"

_NAME = re.compile(r"(?P<parent>.+)-(?P<ordinal>[0-9]+)")


def parent_of(pod: KubeObject) -> str:
    """The StatefulSet that a pod's name speaks of; empty when it does not end in a number."""
    match = _NAME.fullmatch(name_of(pod))
    return match["parent"] if match else ""


def ordinal_of(pod: KubeObject) -> int:
    """The number at the end of a pod's name. Raises ValueError when there is none."""
    return int(name_of(pod).rpartition("-")[2])


def ordinals(owner: KubeObject) -> range:
    """The ordinals that a StatefulSet wants."""
    start = int((owner["spec"].get("ordinals") or {}).get("start") or 0)
    return range(start, start + int(owner["spec"].get("replicas", 1)))


def rolls(owner: KubeObject) -> bool:
    """Does it replace pods by itself?"""
    strategy = owner["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def partition(owner: KubeObject) -> int | None:
    """The first position that a rolling update reaches; None when the strategy does not say."""
    rolling = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate")
    return None if rolling is None else int(rolling.get("partition") or 0)


def takes_current(owner: KubeObject, ordinal: int) -> bool:
    """Is a pod of this ordinal made of the current revision, not of the one being rolled out?"""
    if not rolls(owner):
        return False
    first = partition(owner)
    if first is None:
        first = int((owner.get("status") or {}).get("currentReplicas") or 0)
    return ordinal < ordinals(owner).start + first


def new_pod(owner: KubeObject, ordinal: int, revision: str) -> KubeObject:
    """The pod of an ordinal as the owner's template describes it, with its stable name."""
    pod = podfacts.from_template(owner["spec"]["template"], STATEFULSETS, owner)
    del pod["metadata"]["generateName"]
    name = f"{name_of(owner)}-{ordinal}"
    pod["metadata"]["name"] = name
    pod["metadata"]["labels"] |= identity(pod) | {POD_REVISION: revision}
    pod["spec"]["hostname"] = name
    pod["spec"]["subdomain"] = owner["spec"].get("serviceName") or ""
    return pod


def identity(pod: KubeObject) -> dict[str, str]:
    """The labels that say which pod of its StatefulSet it is."""
    return {POD_NAME: name_of(pod), POD_INDEX: str(ordinal_of(pod))}


def exists(pod: KubeObject) -> bool:
    """Is it stored?"""
    return "uid" in pod["metadata"]


def running_ready(pod: KubeObject) -> bool:
    """Running, and its Ready condition true."""
    return podfacts.phase(pod) == "Running" and podfacts.ready(pod)


def available_in(owner: KubeObject, pod: KubeObject, now: datetime) -> float | None:
    """Seconds until it counts as available: 0 when it does now, None while it is not running and ready."""
    minimum = int(owner["spec"].get("minReadySeconds") or 0)
    return podfacts.available_in(pod, minimum, now) if running_ready(pod) else None


def status_of(
    owner: KubeObject,
    pods: list[KubeObject],
    revisions: tuple[str, str],
    collisions: int,
    now: datetime,
) -> tuple[KubeObject, float | None]:
    """The status for these pods, and the seconds until the next of them becomes available.

    revisions: the names of the current and of the update revision. The current one moves on when an update is
    complete.
    """
    current, update = revisions
    waits = [wait for pod in pods if (wait := available_in(owner, pod, now)) is not None]
    pending = [wait for wait in waits if wait > 0]
    marks = [labels_of(pod).get(POD_REVISION) for pod in pods if not deleting(pod)]
    ready, updated = len(waits), marks.count(update)
    wanted = len(ordinals(owner))
    if rolls(owner) and updated == ready == len(pods) == wanted:
        current = update
    counts = {"readyReplicas": ready, "currentReplicas": marks.count(current), "updatedReplicas": updated}
    status: KubeObject = {
        "observedGeneration": owner["metadata"].get("generation", 0),
        "replicas": len(pods),
        **{field: count for field, count in counts.items() if count},
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": collisions,
        "availableReplicas": len(waits) - len(pending),
    }
    return status, min(pending, default=None)
