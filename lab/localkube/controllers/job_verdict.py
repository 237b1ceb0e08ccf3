"""What a Job's spec and status say: completions, indexes, failure and its conditions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from lab.kube.objects import KubeObject
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import seconds_since, stamp

INDEX = "batch.kubernetes.io/job-completion-index"
Failure = tuple[str, str]
"""Reason and message."""


def parallelism_of(job: KubeObject) -> int:
    """spec.parallelism, 1 by default."""
    value = job["spec"].get("parallelism")
    return 1 if value is None else int(value)


def completions_of(job: KubeObject) -> int | None:
    """spec.completions; None for a work queue. Without both fields it is 1."""
    value = job["spec"].get("completions")
    if value is None and job["spec"].get("parallelism") is None:
        return 1
    return None if value is None else int(value)


def indexed(job: KubeObject) -> bool:
    """Is each completion a numbered one?"""
    return bool(job["spec"].get("completionMode") == "Indexed")


def completion_index(pod: KubeObject) -> int | None:
    """The completion a pod works on, when it is an indexed one."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isdigit() else None


def missing_indexes(job: KubeObject, status: KubeObject, active: Iterable[KubeObject]) -> list[int]:
    """Indexes neither completed nor being worked on, lowest first."""
    taken = {completion_index(pod) for pod in active}
    for part in filter(None, str(status.get("completedIndexes") or "").split(",")):
        first, _, last = part.partition("-")
        taken |= set(range(int(first), int(last or first) + 1))
    return [index for index in range(completions_of(job) or 0) if index not in taken]


def condition_true(status: KubeObject, type: str) -> bool:
    """Has the status that condition, true?"""
    return any(c["type"] == type and c["status"] == "True" for c in status.get("conditions") or ())


def add_condition(
    status: KubeObject, now: datetime, type: str, reason: str, message: str, *, value: str = "True"
) -> None:
    """Add a condition unless one of that type and status is there."""
    conditions = status.setdefault("conditions", [])
    if any(each["type"] == type and each["status"] == value for each in conditions):
        return
    conditions[:] = [each for each in conditions if each["type"] != type]
    conditions.append(
        {
            "type": type,
            "status": value,
            "reason": reason,
            "message": message,
            "lastProbeTime": stamp(now),
            "lastTransitionTime": stamp(now),
        }
    )


def drop_condition(status: KubeObject, type: str) -> None:
    """Take a condition out."""
    status["conditions"] = [each for each in status.get("conditions") or () if each["type"] != type]


def finished_at(job: KubeObject) -> str:
    """When it became Complete or Failed (RFC 3339), or an empty string."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition.get("lastTransitionTime") or "")
    return ""


def failure_of(
    job: KubeObject, status: KubeObject, active: list[KubeObject], pods: list[KubeObject], now: datetime
) -> Failure | None:
    """Why the job has failed, if it has."""
    by_policy = _policy_failure(job, pods)
    if by_policy:
        return by_policy
    limit = int(job["spec"].get("backoffLimit", 6))
    if int(status.get("failed") or 0) > limit or _restarts_exceed(job, active, limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline = job["spec"].get("activeDeadlineSeconds")
    if deadline is None or not status.get("startTime") or job["spec"].get("suspend"):
        return None
    if seconds_since(now, status["startTime"]) >= float(deadline):
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _restarts_exceed(job: KubeObject, active: list[KubeObject], limit: int) -> bool:
    """With restartPolicy OnFailure, container restarts count against the limit."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    total = sum(
        int(each.get("restartCount") or 0)
        for pod in active
        for kind in ("containerStatuses", "initContainerStatuses")
        for each in (pod.get("status") or {}).get(kind) or ()
    )
    return total > 0 if limit == 0 else total >= limit


def _policy_failure(job: KubeObject, pods: list[KubeObject]) -> Failure | None:
    """The first FailJob rule of the podFailurePolicy that a failed pod meets."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for pod in pods:
        if podfacts.phase(pod) != "Failed":
            continue
        for number, rule in enumerate(rules):
            if _rule_met(rule, pod):
                if rule.get("action") != "FailJob":
                    break
                name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
                return "PodFailurePolicy", f"Pod {name} matching FailJob rule at index {number}"
    return None


def _rule_met(rule: KubeObject, pod: KubeObject) -> bool:
    codes = rule.get("onExitCodes")
    if codes:
        for each in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (each.get("state") or {}).get("terminated")
            named = codes.get("containerName") in (None, each.get("name"))
            if ended and named and ended.get("exitCode") != 0:
                inside = ended.get("exitCode") in (codes.get("values") or ())
                if inside == (codes.get("operator") == "In"):
                    return True
        return False
    have = {(c["type"], c["status"]) for c in (pod.get("status") or {}).get("conditions") or ()}
    return any((c["type"], c.get("status", "True")) in have for c in rule.get("onPodConditions") or ())
