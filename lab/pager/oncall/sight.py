"""What the human sees of the shop: Prometheus, as anybody with a browser would."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from lab.metrics.catalogue import (
    AUTOMATION_UP,
    QUEUE_OLDEST_AGE,
    WORKER_LAST_PROGRESS,
    WORKER_PARTITION,
    WORKER_PROCESSED,
)

_PARTITION = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class WorkerSight:
    """A worker that holds the partition. idle_seconds: real time since it last confirmed an order."""

    pod: str
    idle_seconds: float
    processed: float


@dataclass(frozen=True, slots=True)
class PartitionSight:
    """A partition now. oldest_seconds: age of its oldest waiting order, 0 when none waits."""

    partition: str
    oldest_seconds: float
    workers: tuple[WorkerSight, ...] = ()


class Condition(StrEnum):
    """What the human makes of a partition."""

    RECOVERED = "recovered"  # its orders do not wait too long
    UNHELD = "unheld"  # no worker holds it: Kubernetes is at it
    PROGRESSING = "progressing"  # slow, but it gets on
    HUNG = "hung"  # orders wait and its worker does nothing


class Querier(Protocol):
    """Instant queries."""

    async def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series. Raises ConnectionError."""


def is_partition(text: str) -> bool:
    """Is that a partition's number, and fit to stand in a query?"""
    return _PARTITION.fullmatch(text) is not None


async def look(prometheus: Querier, partition: str) -> PartitionSight | None:
    """The partition as Prometheus has it; None when it has no data on it. Raises ConnectionError."""
    where = f'{{namespace="shop",partition="{partition}"}}'
    ages = await prometheus.query(f"max(last_over_time({QUEUE_OLDEST_AGE.name}{where}[3s]))")
    if not ages:
        return None
    holders = await prometheus.query(f"{WORKER_PARTITION.name}{where} == 1")
    idle = await _by_pod(prometheus, f"time() - {WORKER_LAST_PROGRESS.name}{where}")
    processed = await _by_pod(prometheus, f"{WORKER_PROCESSED.name}{where}")
    pods = sorted({labels.get("pod", "") for labels, _ in holders} - {""})
    workers = (WorkerSight(pod, idle.get(pod, 0.0), processed.get(pod, 0.0)) for pod in pods)
    return PartitionSight(partition, ages[0][1], tuple(workers))


async def _by_pod(prometheus: Querier, expression: str) -> dict[str, float]:
    return {labels.get("pod", ""): value for labels, value in await prometheus.query(expression)}


async def automation_is_up(prometheus: Querier) -> bool:
    """Does a candidate's program run? Raises ConnectionError."""
    found = await prometheus.query(f'max({AUTOMATION_UP.name}{{namespace="automation"}})')
    return bool(found) and found[0][1] >= 1


def judge(sight: PartitionSight, *, waits_too_long: float, hangs_after: float) -> Condition:
    """What a partition's condition is. Both limits in real seconds.

    A worker without orders does nothing either, so time without progress counts only while orders wait.
    """
    if sight.oldest_seconds <= waits_too_long:
        return Condition.RECOVERED
    if not sight.workers:
        return Condition.UNHELD
    idle = min(worker.idle_seconds for worker in sight.workers)
    return Condition.HUNG if idle > hangs_after else Condition.PROGRESSING
