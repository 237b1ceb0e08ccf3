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


def _container_reason(pod: KubeObject, reason: str) -> str:
    running = False
    for status in reversed(_statuses(pod, "containerStatuses")):
        state = status.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            reason = str(state["waiting"]["reason"])
        elif state.get("terminated"):
            reason = _terminated_reason(state["terminated"])
        elif status.get("ready") and state.get("running") is not None:
            running = True
    if reason == "Completed" and running:
        conditions = _statuses(pod, "conditions")
        ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
        return "Running" if ready else "NotReady"
    return reason


def pod_status(pod: KubeObject) -> str:
    """The STATUS column: phase, or the reason that tells more."""
    phase = str(at(pod, "status", "phase", default=""))
    reason = str(at(pod, "status", "reason", default="") or phase)
    for condition in _statuses(pod, "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    initializing = _init_reason(pod)
    reason = initializing if initializing is not None else _container_reason(pod, reason)
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
    statuses = _statuses(pod, "containerStatuses")
    if _init_reason(pod) is not None:
        statuses = _statuses(pod, "initContainerStatuses")
    count = sum(int(s.get("restartCount") or 0) for s in statuses)
    ends = [end for s in statuses if (end := at(s, "lastState", "terminated", "finishedAt"))]
    return f"{count} ({age(max(ends), now)} ago)" if count and ends else str(count)


def _gates(pod: KubeObject, _: datetime) -> str:
    gates = at(pod, "spec", "readinessGates", default=()) or ()
    if not gates:
        return NONE
    true = {c.get("type") for c in _statuses(pod, "conditions") if c.get("status") == "True"}
    return f"{sum(1 for gate in gates if gate.get('conditionType') in true)}/{len(gates)}"


POD_COLUMNS = (
    NAME,
    Column("Ready", _ready),
    Column("Status", lambda pod, _: pod_status(pod)),
    Column("Restarts", _restarts),
    AGE,
    field("IP", "status", "podIP", wide=True),
    field("Node", "spec", "nodeName", wide=True),
    field("Nominated Node", "status", "nominatedNodeName", wide=True),
    Column("Readiness Gates", _gates, priority=1),
)
