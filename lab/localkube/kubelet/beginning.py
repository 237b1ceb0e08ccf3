"""How a pod's containers stand when a kubelet takes the pod: new, or as an earlier kubelet left them."""

from __future__ import annotations

from typing import Any

from lab.kube.objects import KubeObject
from lab.localkube.kubelet.status import ContainerStatus

LOST = {"exitCode": 255, "reason": "Unknown", "message": "The kubelet was restarted."}


Statuses = list[ContainerStatus]


def first_statuses(pod: KubeObject) -> tuple[Statuses, Statuses, Statuses]:
    """The statuses of init containers, which begin anew, of the others, which go on, and of ephemeral ones.

    Ephemeral containers that an earlier kubelet has seen are not started again.
    """
    spec, status = pod["spec"], pod.get("status") or {}
    policy = spec.get("restartPolicy", "Always")
    inits = spec.get("initContainers") or ()
    reason = "PodInitializing" if inits else "ContainerCreating"
    known = {each["name"]: each for each in status.get("containerStatuses") or ()}
    seen = {each["name"]: each for each in status.get("ephemeralContainerStatuses") or ()}
    return (
        [_first(each, {}, policy, reason) for each in inits],
        [_first(each, known.get(each["name"], {}), policy, reason) for each in spec["containers"]],
        [
            _first(each, seen[each["name"]], "Never", reason)
            for each in spec.get("ephemeralContainers") or ()
            if each["name"] in seen
        ],
    )


def _first(spec: KubeObject, before: dict[str, Any], policy: str, reason: str) -> ContainerStatus:
    status = ContainerStatus(
        spec["name"], spec["image"], restartable_init=spec.get("restartPolicy") == "Always"
    )
    status.state = {"waiting": {"reason": reason}}
    state = before.get("state") or {}
    status.restart_count = int(before.get("restartCount") or 0)
    status.last_state = before.get("lastState") or {}
    if "running" in state:
        started = state["running"].get("startedAt")
        lost = {"terminated": {**LOST, "startedAt": started, "finishedAt": started}}
        if policy == "Never":
            status.state = lost
        else:
            status.last_state = lost
            status.restart_count += 1
    elif "terminated" in state:
        status.state = state
    return status
