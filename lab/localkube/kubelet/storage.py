"""Local storage and its limits: a pod that takes more than it may is evicted.

    emptyDir.sizeLimit                               the volume
    sum of the containers' ephemeral-storage limits  all logs, folders and volumes on disk together
    a container's ephemeral-storage limit            its logs and its own folder

Source: pkg/kubelet/eviction (localStorageEviction), in whose order they are looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from lab.core.clock import Clock
from lab.kube.objects import KubeObject
from lab.kube.quantity import format_quantity, parse_quantity
from lab.localkube.kubelet.disk import disk_usage
from lab.localkube.kubelet.pod import PodWorker

STORAGE_SECONDS = 1.0
"""How often pods with a limit are measured; upstream's default is every 10 s."""
EPHEMERAL = "ephemeral-storage"
_CRITICAL_PRIORITY = 2_000_000_000
_CRITICAL_CLASSES = ("system-node-critical", "system-cluster-critical")


@dataclass(frozen=True, slots=True)
class StorageLimit:
    """A bound in bytes on what some directories take together, and what is said of a pod above it."""

    most: Decimal
    places: tuple[Path, ...]
    message: str


def storage_limits(pod: KubeObject, directory: Path) -> list[StorageLimit]:
    """All limits of a pod whose files are below `directory`. None for one that upstream does not evict."""
    spec = pod["spec"]
    if int(spec.get("priority") or 0) >= _CRITICAL_PRIORITY:
        return []
    if spec.get("priorityClassName") in _CRITICAL_CLASSES:
        return []
    return [*_volumes(spec, directory), *_whole(spec, directory), *_containers(spec, directory)]


def excess(limits: Iterable[StorageLimit]) -> str:
    """Upstream's message for the first limit that is exceeded; empty when none is. Blocks while it reads."""
    used: dict[Path, int] = {}
    for limit in limits:
        for place in limit.places:
            if place not in used:
                used[place] = disk_usage(place)
        if sum(used[place] for place in limit.places) > limit.most:
            return limit.message
    return ""


def _volumes(spec: KubeObject, directory: Path) -> Iterator[StorageLimit]:
    for volume in spec.get("volumes") or ():
        size = (volume.get("emptyDir") or {}).get("sizeLimit")
        if size is None or (most := parse_quantity(size)) <= 0:
            continue
        text = f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{format_quantity(size)}". '
        yield StorageLimit(most, (directory / "volumes" / volume["name"],), text)


def _whole(spec: KubeObject, directory: Path) -> Iterator[StorageLimit]:
    everyone = [*(spec.get("initContainers") or ()), *spec["containers"]]
    if all(_ephemeral(container) is None for container in everyone):
        return
    most = sum((_amount(container) for container in spec["containers"]), Decimal(0))
    beside, start = Decimal(0), Decimal(0)
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            beside += _amount(container)
            start = max(start, beside)
        else:
            start = max(start, beside + _amount(container))
    most = max(most + beside, start)
    on_disk = (
        directory / "volumes" / volume["name"]
        for volume in spec.get("volumes") or ()
        if "emptyDir" in volume and (volume["emptyDir"] or {}).get("medium") != "Memory"
    )
    text = _said(most, everyone)
    message = f"Pod ephemeral local storage usage exceeds the total limit of containers {text}. "
    yield StorageLimit(most, (directory / "logs", directory / "containers", *on_disk), message)


def _containers(spec: KubeObject, directory: Path) -> Iterator[StorageLimit]:
    for container in spec["containers"]:
        most, name = _amount(container), container["name"]
        if not most:
            continue
        limit = format_quantity(str(_ephemeral(container)))
        text = f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
        yield StorageLimit(most, (directory / "logs" / name, directory / "containers" / name), text)


def _ephemeral(container: KubeObject) -> str | int | float | None:
    limits = (container.get("resources") or {}).get("limits") or {}
    found: str | int | float | None = limits.get(EPHEMERAL)
    return found


def _amount(container: KubeObject) -> Decimal:
    limit = _ephemeral(container)
    return Decimal(0) if limit is None else parse_quantity(limit)


def _said(total: Decimal, containers: Iterable[KubeObject]) -> str:
    """A sum of quantities in the family of the first one, as upstream adds them."""
    first = next(str(limit) for each in containers if (limit := _ephemeral(each)) is not None)
    return format_quantity(f"{total / 1024:f}Ki" if first.endswith("i") else f"{total:f}")


class LocalStorage:
    """Looks at the pods of a node again and again, in a thread, and evicts those above a limit.

    pods: those that the node has now. seconds: real seconds between two looks.
    """

    def __init__(self, clock: Clock, pods: Callable[[], Iterable[PodWorker]], seconds: float) -> None:
        self._clock = clock
        self._pods = pods
        self._seconds = seconds

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(self._seconds)
            limited: list[tuple[PodWorker, list[StorageLimit]]] = []
            for worker in self._pods():
                limits = storage_limits(worker.pod, worker.context.directory) if worker.active else []
                if limits:
                    limited.append((worker, limits))
            if limited:
                messages = await asyncio.to_thread(_messages, [limits for _, limits in limited])
                for (worker, _), message in zip(limited, messages, strict=True):
                    if message:
                        worker.evict(message)


def _messages(pods: Sequence[Sequence[StorageLimit]]) -> list[str]:
    return [excess(limits) for limits in pods]
