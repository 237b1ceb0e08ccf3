"""A pod's row: the STATUS column is computed, as it is nowhere in the object.

Source: printPod in kubernetes pkg/printers/internalversion/printers.go (1.32).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lab.kube.objects import KubeObject
from lab.localkube.api.columns import AGE, NAME, NONE, Column, age, at, field

_NODE_LOST = "NodeLost"
_OVER = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def _statuses(pod: KubeObject, key: str) -> list[dict[str, Any]]:
    return list(at(pod, "status", key, default=()) or ())


def _sidecars(pod: KubeObject) -> set[str]:
    init = at(pod, "spec", "initContainers", default=()) or ()
    return {c["name"] for c in init if c.get("restartPolicy") == "Always"}


def _terminated_reason(terminated: Mapping[str, Any]) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _init_reason(pod: KubeObject) -> str | None:
    """What the init containers say while they are not all done."""
    wanted = len(at(pod, "spec", "initContainers", default=()) or ())
    sidecars = _sidecars(pod)
    for index, status in enumerate(_statuses(pod, "initContainerStatuses")):
        state = status.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated and terminated.get("exitCode") == 0:
            continue
        if status.get("name") in sidecars and status.get("started"):
            continue
        if terminated:
            return f"Init:{_terminated_reason(terminated)}"
        if waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{wanted}"
    return None


def _initialized(pod: KubeObject) -> bool:
    """Do the regular containers speak for the pod?"""
    conditions = _statuses(pod, "conditions")
    true = any(c.get("type") == "Initialized" and c.get("status") == "True" for c in conditions)
    return true or _init_reason(pod) is None


def _container_reason(pod: KubeObject, reason: str) -> str:
    running, failure = False, ""
    for status in reversed(_statuses(pod, "containerStatuses")):
        state = status.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = str(state["waiting"]["reason"])
        elif state.get("terminated"):
            reason = _terminated_reason(state["terminated"])
            failure = reason if state["terminated"].get("exitCode") else failure
        elif status.get("ready") and state.get("running") is not None:
            running = True
    if reason != "Completed":
        return reason
    conditions = _statuses(pod, "conditions")
    if running and any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions):
        return "Running"
    return failure or ("NotReady" if running else reason)


def pod_status(pod: KubeObject) -> str:
    """The STATUS column: phase, or the reason that tells more."""
    phase = str(at(pod, "status", "phase", default=""))
    reason = str(at(pod, "status", "reason", default="") or phase)
    for condition in _statuses(pod, "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    reason = _init_reason(pod) or reason
    if _initialized(pod):
        reason = _container_reason(pod, reason)
    if at(pod, "metadata", "deletionTimestamp"):
        if at(pod, "status", "reason") == _NODE_LOST:
            return "Unknown"
        if phase not in ("Succeeded", "Failed"):
            return "Terminating"
    return reason


def _ready(pod: KubeObject, _: datetime) -> str:
    sidecars = _sidecars(pod)
    total = len(at(pod, "spec", "containers", default=()) or ()) + len(sidecars)
    ready = sum(1 for s in _statuses(pod, "containerStatuses") if s.get("ready"))
    ready += sum(
        1 for s in _statuses(pod, "initContainerStatuses") if s.get("ready") and s.get("name") in sidecars
    )
    return f"{ready}/{total}"


def _restarts(pod: KubeObject, now: datetime) -> str:
    statuses = _statuses(pod, "initContainerStatuses")
    if _initialized(pod):
        sidecars = _sidecars(pod)
        statuses = [s for s in statuses if s.get("name") in sidecars] + _statuses(pod, "containerStatuses")
    count = sum(int(s.get("restartCount") or 0) for s in statuses)
    ends = [end for s in statuses if (end := at(s, "lastState", "terminated", "finishedAt"))]
    return f"{count} ({age(max(ends), now)} ago)" if count and ends else str(count)


def _gates(pod: KubeObject, _: datetime) -> str:
    gates = at(pod, "spec", "readinessGates", default=()) or ()
    if not gates:
        return NONE
    true = {c.get("type") for c in _statuses(pod, "conditions") if c.get("status") == "True"}
    return f"{sum(1 for gate in gates if gate.get('conditionType') in true)}/{len(gates)}"


def row_conditions(pod: KubeObject) -> list[dict[str, str]]:
    """What a table's row says beside its cells: that the pod is over, so that a client may leave it out."""
    phase = str(at(pod, "status", "phase", default=""))
    if phase not in _OVER:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _OVER[phase]}]


POD_COLUMNS = (
    NAME,
    Column("Ready", _ready),
    Column("Status", lambda pod, _: pod_status(pod)),
    Column("Restarts", _restarts),
    AGE,
    Column("IP", lambda pod, _: at(pod, "status", "podIP") or NONE, priority=1),
    field("Node", "spec", "nodeName", wide=True),
    field("Nominated Node", "status", "nominatedNodeName", wide=True),
    Column("Readiness Gates", _gates, priority=1),
)
