"""Facts about pods that several controllers need, and making one from a template."""

from __future__ import annotations

import copy
from datetime import datetime

from lab.kube.objects import KubeObject, name_of
from lab.kube.resources import Resource, builtin
from lab.localkube.controllers.base import deleting, owner_reference, seconds_since

PODS = builtin("Pod")
TERMINAL = ("Succeeded", "Failed")


def phase(pod: KubeObject) -> str:
    """status.phase, Pending when there is none yet."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def terminal(pod: KubeObject) -> bool:
    """Have all its containers ended for good?"""
    return phase(pod) in TERMINAL


def active(pod: KubeObject) -> bool:
    """Neither ended nor being deleted."""
    return not terminal(pod) and not deleting(pod)


def ready_since(pod: KubeObject) -> str:
    """Since when it has been Ready (RFC 3339), or an empty string when it is not."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return str(condition.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])
    return ""


def ready(pod: KubeObject) -> bool:
    """Is its Ready condition true?"""
    return bool(ready_since(pod))


def available_in(pod: KubeObject, min_ready_seconds: int, now: datetime) -> float | None:
    """Seconds until it counts as available: 0 when it does now, None while it is not ready."""
    since = ready_since(pod)
    if not since:
        return None
    if not min_ready_seconds:
        return 0.0
    return max(0.0, min_ready_seconds - seconds_since(now, since))


def restarts(pod: KubeObject) -> int:
    """Restarts of its most restarted container."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)


def from_template(
    template: KubeObject, resource: Resource, owner: KubeObject, prefix: str = ""
) -> KubeObject:
    """A pod as its owner's template describes it, named `<owner>-<random>`."""
    metadata = copy.deepcopy(template.get("metadata") or {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": prefix or f"{name_of(owner)}-",
            "labels": metadata.get("labels") or {},
            "annotations": metadata.get("annotations") or {},
            "finalizers": metadata.get("finalizers") or [],
            "ownerReferences": [owner_reference(resource, owner)],
        },
        "spec": copy.deepcopy(template.get("spec") or {}),
    }
