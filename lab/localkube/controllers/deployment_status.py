"""A Deployment's counts and conditions. Source: pkg/controller/deployment/{sync,progress}.go."""

from __future__ import annotations

import copy
from datetime import datetime

from lab.kube.objects import KubeObject, name_of
from lab.kube.resources import builtin
from lab.localkube.controllers import rollout
from lab.localkube.controllers.base import Controller, find_condition, seconds_since, stamp

DEPLOYMENTS = builtin("Deployment")
AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
NO_DEADLINE = 2**31 - 1


def has_deadline(deployment: KubeObject) -> bool:
    """Is there a progress deadline?"""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and int(seconds) != NO_DEADLINE


def set_condition(
    status: KubeObject,
    now: datetime,
    type: str,
    value: str,
    reason: str,
    message: str,
    *,
    renew: bool = False,
) -> None:
    """Put a condition into a status. The same status and reason leave it alone, unless `renew`."""
    conditions = status.setdefault("conditions", [])
    present = next((each for each in conditions if each["type"] == type), None)
    if present and not renew and present["status"] == value and present.get("reason") == reason:
        return
    since = present["lastTransitionTime"] if present and present["status"] == value else stamp(now)
    if present:
        conditions.remove(present)
    conditions.append(
        {
            "type": type,
            "status": value,
            "reason": reason,
            "message": message,
            "lastUpdateTime": stamp(now),
            "lastTransitionTime": since,
        }
    )


def drop_condition(status: KubeObject, type: str) -> None:
    """Take a condition out of a status."""
    status["conditions"] = [each for each in status.get("conditions") or () if each["type"] != type]


def set_progress(
    controller: Controller, deployment: KubeObject, value: str, reason: str, message: str
) -> None:
    """Store a Progressing condition at once, if the deployment has a progress deadline."""
    if not has_deadline(deployment):
        return
    present = controller.cache.get(
        "deployments.apps", deployment["metadata"]["namespace"], name_of(deployment)
    )
    if present is not None:
        status = copy.deepcopy(present.get("status") or {})
        set_condition(status, controller.now(), "Progressing", value, reason, message)
        controller.write_status(DEPLOYMENTS, present, status)


def paused_condition(controller: Controller, deployment: KubeObject) -> None:
    """Tell in Progressing that the rollout was paused or resumed."""
    present = find_condition(deployment, "Progressing")
    reason = (present or {}).get("reason")
    if reason == TIMED_OUT:
        return
    if deployment["spec"].get("paused") and reason != "DeploymentPaused":
        set_progress(controller, deployment, "Unknown", "DeploymentPaused", "Deployment is paused")
    elif not deployment["spec"].get("paused") and reason == "DeploymentPaused":
        set_progress(controller, deployment, "Unknown", "DeploymentResumed", "Deployment is resumed")


def calculate(
    deployment: KubeObject, sets: list[KubeObject], new: KubeObject | None, now: datetime
) -> KubeObject:
    """Counts and the Available condition for these ReplicaSets, of which `new` is the newest."""

    def count(field: str, chosen: list[KubeObject]) -> int:
        return sum(int((each.get("status") or {}).get(field) or 0) for each in chosen)

    available = count("availableReplicas", sets)
    counts = {
        "replicas": count("replicas", sets),
        "updatedReplicas": count("replicas", [new] if new else []),
        "readyReplicas": count("readyReplicas", sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, rollout.total(sets) - available),
    }
    status = copy.deepcopy(deployment.get("status") or {})
    for field, value in counts.items():
        status.pop(field, None)
        if value:
            status[field] = value
    status["observedGeneration"] = int(deployment["metadata"].get("generation") or 0)
    if available >= rollout.replicas_of(deployment) - rollout.max_unavailable(deployment):
        found = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        found = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    set_condition(status, now, "Available", *found)
    return status


def complete(deployment: KubeObject, status: KubeObject) -> bool:
    """Has the rollout reached its end?"""
    wanted = rollout.replicas_of(deployment)
    fields = ("updatedReplicas", "replicas", "availableReplicas")
    return all(int(status.get(field) or 0) == wanted for field in fields)


def rollout_status(
    deployment: KubeObject, sets: list[KubeObject], new: KubeObject | None, now: datetime
) -> tuple[KubeObject, float | None]:
    """The whole status amid a rollout, and the seconds until its progress deadline if that matters."""
    status = calculate(deployment, sets, new, now)
    _failures(status, sets, new, now)
    if not has_deadline(deployment):
        drop_condition(status, "Progressing")
        return status, None
    present = find_condition(deployment, "Progressing")
    settled = int(status.get("replicas") or 0) == int(status.get("updatedReplicas") or 0)
    if not (settled and present and present.get("reason") == AVAILABLE):
        _progress(deployment, status, new, now)
    return status, _until_deadline(deployment, status, now)


def _progress(deployment: KubeObject, status: KubeObject, new: KubeObject | None, now: datetime) -> None:
    what = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if complete(deployment, status):
        set_condition(status, now, "Progressing", "True", AVAILABLE, f"{what} has successfully progressed.")
    elif _moved(deployment.get("status") or {}, status):
        set_condition(
            status, now, "Progressing", "True", "ReplicaSetUpdated", f"{what} is progressing.", renew=True
        )
    elif (left := _time_left(deployment, status, now)) is not None and left < 0:
        set_condition(status, now, "Progressing", "False", TIMED_OUT, f"{what} has timed out progressing.")


def _moved(before: KubeObject, after: KubeObject) -> bool:
    """Did anything get better?"""

    def number(status: KubeObject, field: str) -> int:
        return int(status.get(field) or 0)

    def old(status: KubeObject) -> int:
        return number(status, "replicas") - number(status, "updatedReplicas")

    better = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return any(number(after, f) > number(before, f) for f in better) or old(after) < old(before)


def _time_left(deployment: KubeObject, status: KubeObject, now: datetime) -> float | None:
    """Seconds to the progress deadline; None when nothing is in progress."""
    present = next((each for each in status.get("conditions") or () if each["type"] == "Progressing"), None)
    if present is None or present.get("reason") in (AVAILABLE, TIMED_OUT, "DeploymentPaused"):
        return None
    since = present.get("lastUpdateTime") or present["lastTransitionTime"]
    return float(deployment["spec"]["progressDeadlineSeconds"]) - seconds_since(now, since)


def _until_deadline(deployment: KubeObject, status: KubeObject, now: datetime) -> float | None:
    if complete(deployment, status):
        return None
    left = _time_left(deployment, status, now)
    return None if left is None else max(0.1, left + 1)


def _failures(status: KubeObject, sets: list[KubeObject], new: KubeObject | None, now: datetime) -> None:
    """Carry the ReplicaSets' ReplicaFailure over."""
    for each in [*([new] if new else []), *sets]:
        failure = find_condition(each, "ReplicaFailure")
        if failure and failure.get("status") == "True":
            set_condition(
                status, now, "ReplicaFailure", "True", failure.get("reason", ""), failure.get("message", "")
            )
            return
    drop_condition(status, "ReplicaFailure")
