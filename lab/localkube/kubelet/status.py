"""What a pod's status says, as a function of its containers.

Source: pkg/kubelet/kubelet_pods.go, pkg/kubelet/status/generate.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.kube.objects import KubeObject

CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass(slots=True)
class ContainerStatus:
    """One container as the status shows it. `state` and `last_state` are Kubernetes' ContainerState."""

    name: str
    image: str
    restartable_init: bool = False
    state: dict[str, Any] = field(default_factory=lambda: {"waiting": {"reason": "PodInitializing"}})
    last_state: dict[str, Any] = field(default_factory=dict)
    restart_count: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    @property
    def terminated(self) -> dict[str, Any] | None:
        """The end of the present run, if it ended and is not about to restart."""
        return self.state.get("terminated")

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return "running" in self.state

    @property
    def init_done(self) -> bool:
        """Whether, as an init container, it lets the next one start."""
        if self.restartable_init:
            return self.started
        return bool(self.terminated and self.terminated["exitCode"] == 0)

    def as_object(self) -> dict[str, Any]:
        """A v1 ContainerStatus."""
        return {
            "name": self.name,
            "state": self.state,
            "lastState": self.last_state,
            "ready": self.ready,
            "restartCount": self.restart_count,
            "image": self.image,
            "imageID": f"localkube://{self.image}" if self.container_id else "",
            **({"containerID": self.container_id} if self.container_id else {}),
            "started": self.started,
        }


@dataclass(slots=True)
class PodFacts:
    """All that a pod's status is made from. `phase`, `reason`, `message` override when set."""

    inits: Sequence[ContainerStatus]
    mains: Sequence[ContainerStatus]
    host_ip: str
    start_time: str
    ephemerals: list[ContainerStatus] = field(default_factory=list)
    pod_ip: str = ""
    network_ready: bool = False
    phase: str = ""
    reason: str = ""
    message: str = ""


def pod_phase(restart_policy: str, facts: PodFacts) -> str:
    """Pending, Running, Succeeded or Failed. No pod has ended while one of its containers runs."""
    phase = facts.phase or _phase_of_containers(restart_policy, facts)
    everyone = (*facts.inits, *facts.mains, *facts.ephemerals)
    if phase in ("Succeeded", "Failed") and any(each.running for each in everyone):
        return "Running" if any(main.running or main.terminated for main in facts.mains) else "Pending"
    return phase


def _phase_of_containers(restart_policy: str, facts: PodFacts) -> str:
    ahead = [init for init in facts.inits if not init.init_done]
    if ahead and not any(main.running or main.terminated for main in facts.mains):
        ends = [init.terminated for init in ahead if not init.restartable_init]
        failed = any(ended["exitCode"] != 0 for ended in ends if ended)
        return "Failed" if failed and restart_policy == "Never" else "Pending"
    running = waiting = stopped = failed_count = 0
    for main in facts.mains:
        if main.running:
            running += 1
        elif main.terminated:
            stopped += 1
            failed_count += main.terminated["exitCode"] != 0
        elif main.last_state:
            stopped += 1
            failed_count += 1
        else:
            waiting += 1
    if waiting:
        return "Pending"
    if running or restart_policy == "Always":
        return "Running"
    if not failed_count:
        return "Succeeded"
    return "Failed" if restart_policy == "Never" else "Running"


def pod_status(pod: KubeObject, facts: PodFacts, now: str) -> dict[str, Any]:
    """The whole status. Conditions that others own are kept, as are times of what did not change."""
    old = pod.get("status") or {}
    phase = pod_phase(pod["spec"].get("restartPolicy", "Always"), facts)
    status: dict[str, Any] = {
        **{key: old[key] for key in ("nominatedNodeName", "resize", "observedGeneration") if key in old},
        "phase": phase,
        "conditions": _conditions(pod, facts, phase, now),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "startTime": facts.start_time,
        "containerStatuses": [each.as_object() for each in facts.mains],
        "qosClass": old.get("qosClass") or qos_class(pod["spec"]),
    }
    if facts.inits:
        status["initContainerStatuses"] = [each.as_object() for each in facts.inits]
    if facts.ephemerals:
        status["ephemeralContainerStatuses"] = [each.as_object() for each in facts.ephemerals]
    if facts.pod_ip:
        status |= {"podIP": facts.pod_ip, "podIPs": [{"ip": facts.pod_ip}]}
    for key in ("reason", "message"):
        if getattr(facts, key) and phase == facts.phase:
            status[key] = getattr(facts, key)
    return status


def _conditions(pod: KubeObject, facts: PodFacts, phase: str, now: str) -> list[dict[str, Any]]:
    old = {item["type"]: item for item in (pod.get("status") or {}).get("conditions") or ()}
    unready = [
        *(each.name for each in facts.inits if each.restartable_init and not each.ready),
        *(each.name for each in facts.mains if not each.ready),
    ]
    begun = any(main.running or main.terminated or main.last_state for main in facts.mains)
    uninitialized = [each.name for each in facts.inits if not each.init_done and not begun]
    containers_ready = _containers_ready(phase, unready)
    wanted = {
        "PodReadyToStartContainers": _condition(facts.network_ready and phase not in ("Succeeded", "Failed")),
        "Initialized": _initialized(phase, uninitialized),
        "Ready": containers_ready,
        "ContainersReady": containers_ready,
        "PodScheduled": _condition(True),
    }
    if containers_ready["status"] == "True":
        gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
        shut = [_shut(gate, old.get(gate)) for gate in gates if old.get(gate, {}).get("status") != "True"]
        if shut:
            wanted["Ready"] = _condition(False, "ReadinessGatesNotReady", ", ".join(shut))
    result = []
    for kind in CONDITIONS:
        before = old.pop(kind, {})
        condition = {"type": kind, **wanted[kind]}
        same = before.get("status") == condition["status"]
        condition["lastTransitionTime"] = before.get("lastTransitionTime") or now if same else now
        result.append(condition)
    return [*result, *old.values()]


def _shut(gate: str, condition: dict[str, Any] | None) -> str:
    if condition is None:
        return f'corresponding condition of pod readiness gate "{gate}" does not exist.'
    return f'the status of pod readiness gate "{gate}" is not "True", but {condition.get("status")}'


def _condition(true: bool, reason: str = "", message: str = "") -> dict[str, Any]:
    condition: dict[str, Any] = {"status": "True" if true else "False"}
    if reason:
        condition |= {"reason": reason}
    if message:
        condition |= {"message": message}
    return condition


def _containers_ready(phase: str, unready: Sequence[str]) -> dict[str, Any]:
    if phase == "Succeeded":
        return _condition(False, "PodCompleted")
    if phase == "Failed":
        return _condition(False, "PodFailed")
    if unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        return _condition(False, "ContainersNotReady", text)
    return _condition(True)


def _initialized(phase: str, missing: Sequence[str]) -> dict[str, Any]:
    if phase == "Succeeded":
        return _condition(True, "PodCompleted")
    if missing:
        text = f"containers with incomplete status: [{' '.join(missing)}]"
        return _condition(False, "ContainersNotInitialized", text)
    return _condition(True)


def qos_class(spec: Mapping[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, by requests and limits of cpu and memory."""
    guaranteed, any_set = True, False
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            any_set |= name in requests or name in limits
            guaranteed &= name in limits and requests.get(name, limits.get(name)) == limits.get(name)
    return "BestEffort" if not any_set else "Guaranteed" if guaranteed else "Burstable"
