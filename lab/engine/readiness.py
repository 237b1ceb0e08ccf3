"""The wait until every part of a lab is ready, with what keeps one from coming said early.

What will not mend itself ends the wait before its time: an image that is nowhere, pods that a quota or a
policy refuses. What may, a node without room that an autoscaler makes, is said and waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.engine.clients import wait_until
from lab.engine.lab import is_available
from lab.errors import DeadlineExceeded, LabError, ProviderError
from lab.kube.objects import KubeObject, name_of, namespace_of

if TYPE_CHECKING:
    from lab.engine.kube import Kube

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many parts are done, and how many there are."""

PATIENCE = {
    "ErrImageNeverPull": 0.0,
    "InvalidImageName": 0.0,
    "ErrImagePull": 30.0,
    "ImagePullBackOff": 30.0,
    "CreateContainerConfigError": 30.0,
    "FailedCreate": 30.0,
}
"""How many seconds a reason may last until it is taken to stay. Others may pass by themselves."""
_PULLS = ("ErrImagePull", "ImagePullBackOff")
LOOK_SECONDS = 2.0
"""How often it is asked what keeps parts from coming."""
_IMAGE = "bring it to the nodes, or name where it is with --image or --registry: docs/providers.md"
_HINTS = {
    "ErrImageNeverPull": _IMAGE,
    "InvalidImageName": "--image takes a reference such as registry.example/toil-lab:1",
    "ErrImagePull": _IMAGE,
    "ImagePullBackOff": _IMAGE,
    "FailedCreate": "a quota or a policy of this cluster refuses pods: ask an administrator of it",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a part (`namespace/name`) from coming: Kubernetes' own reason and message."""

    part: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.part}: {self.reason}: {self.message}"


def wait_ready(kube: Kube, progress: Progress, total: int, seconds: float) -> None:
    """Wait until every Deployment that is to run is available; report each one as it comes.

    Raises ProviderError when one cannot come, DeadlineExceeded naming each that is late and what it says
    last.
    """
    seen: set[str] = set()
    waiting: list[KubeObject] = []
    troubles = _Troubles(kube, "the lab")

    def everything() -> bool:
        nonlocal waiting
        found = [d for d in kube.deployments() if d["spec"]["replicas"]]
        waiting = [d for d in found if not is_available(d)]
        for part in sorted({part_of(d) for d in found} - {part_of(d) for d in waiting} - seen):
            seen.add(part)
            progress(part, len(seen) + 1, total)
        for news in troubles.look(waiting):
            progress(f"{news.part} waits: {news.reason}: {news.message}", len(seen) + 1, total)
        return not waiting

    started = time.monotonic()
    if not wait_until(everything, seconds=seconds, every=0.1):
        raise DeadlineExceeded(
            f"not ready after {time.monotonic() - started:.0f} s:"
            + "".join("\n  - " + _why(kube, deployment) for deployment in waiting),
            hint="lab up --retain keeps the lab as it is, for a look",
        )


def wait_part(kube: Kube, namespace: str, name: str, seconds: float) -> None:
    """Wait until a part that was asked for later has its one pod, ready.

    Raises ProviderError when it cannot come, DeadlineExceeded with what it says last.
    """
    part: KubeObject | None = None
    troubles = _Troubles(kube, f"the {name}")

    def available() -> bool:
        nonlocal part
        found = [d for d in kube.deployments() if (namespace_of(d), name_of(d)) == (namespace, name)]
        part = found[0] if found else None
        if part is None or is_available(part, 1):
            return part is not None
        troubles.look([part])
        return False

    if not wait_until(available, seconds=seconds, every=0.05):
        why = _why(kube, part) if part else f"there is no Deployment {namespace}/{name}"
        raise DeadlineExceeded(
            f"not ready after {seconds:.0f} s: {why}", hint=f"lab logs {name} shows what it printed"
        )


def part_of(deployment: KubeObject) -> str:
    """`namespace/name`."""
    return f"{namespace_of(deployment)}/{name_of(deployment)}"


class _Troubles:
    """What keeps parts from coming, and since when. whole: what they are parts of, for the message."""

    def __init__(self, kube: Kube, whole: str) -> None:
        self._kube = kube
        self._whole = whole
        self._since: dict[tuple[str, str], float] = {}
        self._looked = time.monotonic()

    def look(self, waiting: list[KubeObject]) -> list[Trouble]:
        """What is new. Raises ProviderError for what has lasted too long."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return []
        self._looked = now
        found = {(t.part, _kind(t.reason)): t for d in waiting for t in _troubles(self._kube, d)}
        new = [trouble for key, trouble in found.items() if key not in self._since]
        self._since = {key: self._since.get(key, now) for key in found}
        late = [
            trouble
            for key, trouble in found.items()
            if now - self._since[key] >= PATIENCE.get(trouble.reason, float("inf"))
        ]
        if late:
            raise ProviderError(
                f"{self._whole} cannot come up:" + "".join(f"\n  - {trouble}" for trouble in late),
                hint=_HINTS.get(late[0].reason, "kubectl describe the pod, or lab up --retain, for a look"),
            )
        return new


def _kind(reason: str) -> str:
    return "image" if reason in _PULLS else reason  # a kubelet says the one and the other by turns


def _troubles(kube: Kube, deployment: KubeObject) -> Iterator[Trouble]:
    part = part_of(deployment)
    for condition in (deployment.get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield Trouble(part, str(condition.get("reason")), str(condition.get("message")))
    for pod in kube.pods(namespace_of(deployment), name_of(deployment)):
        status = pod.get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
                yield Trouble(part, "Unschedulable", str(condition.get("message")))
        for container in status.get("containerStatuses") or ():
            waits = (container.get("state") or {}).get("waiting") or {}
            if waits.get("reason") in PATIENCE:
                yield Trouble(part, waits["reason"], str(waits.get("message") or container["image"]))


def _why(kube: Kube, deployment: KubeObject) -> str:
    """A line on a Deployment that is not ready, with what its pod says last."""
    namespace, name = namespace_of(deployment), name_of(deployment)
    available = (deployment.get("status") or {}).get("availableReplicas", 0)
    line = f"{part_of(deployment)}: {available} of {deployment['spec']['replicas']} available"
    if troubles := list(_troubles(kube, deployment)):
        return f"{line}; {troubles[0].reason}: {troubles[0].message}"
    for pod in kube.pods(namespace, name):
        if any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or ()):
            continue
        statuses = pod["status"].get("containerStatuses") or ()
        waits = [s["state"]["waiting"].get("reason", "") for s in statuses if s["state"].get("waiting")]
        state = ", ".join(waits) or pod["status"].get("phase", "")
        words = _last_words(kube, namespace, name_of(pod), ended=bool(waits))
        return f"{line}; pod {name_of(pod)}: {state} {words}".rstrip()
    return line


def _last_words(kube: Kube, namespace: str, pod: str, *, ended: bool) -> str:
    """The last line of a pod's log; of the container before, when there is none now."""
    for previous in (False, True) if ended else (False,):
        try:
            text = kube.pod_log(namespace, pod, tail_lines=1, previous=previous).strip()
        except LabError:  # a container that was never started has no log
            continue
        if text:
            return text
    return ""
