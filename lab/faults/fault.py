"""What a fault of the shop's queue is: whom it may hit, and what it asks of its victim.

Applying and undoing are the same for all: a row of chaos.directives with the journal entry's id appears, or
disappears. Both may be done twice.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, FaultTarget, Parameter, ParameterType
from lab.errors import UsageError
from lab.faults.medium import NoVictimError, OccupiedError

NAMESPACE = "shop"
QUEUE = "queue"
"""Name of the medium."""

IDLE_SHARE = 0.16
"""A partition with less than this part of the mean is hardly damaged by a hang: no victim by chance."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of the queue. share: of all orders, 0 to 1. holder: the pod that works on it, if any."""

    number: int
    share: float
    holder: str | None


@dataclass(frozen=True, slots=True)
class Directive:
    """What is asked of a worker by pod, or by partition whoever holds it; or of all pods of a service.

    mode: one of those in lab/shop/schema.sql. expires_at: when it ends even if nobody withdraws it.
    """

    mode: str
    pod: str | None
    partition: int | None
    parameters: Mapping[str, Any]
    service: str | None = None
    expires_at: datetime | None = None


class QueueFault(Protocol):
    """A fault of the queue's workers."""

    spec: FaultSpec
    medium: str

    def directive(self, target: FaultTarget, parameters: Mapping[str, Any], scale: TimeScale) -> Directive:
        """What is asked of the target."""

    def outlives(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it stays when its victim pod is replaced."""


COUNT = Parameter(
    "count", ParameterType.INTEGER, "How many workers.", default=1, unit="workers", minimum=1, maximum=40
)
PARTITION = Parameter(
    "partition",
    ParameterType.INTEGER,
    "The partition whose worker is hit; chosen by the seed among the busy ones when absent.",
    unit="partition",
    minimum=0,
    maximum=39,
)
SHARE = Parameter(
    "share",
    ParameterType.NUMBER,
    "The part of all workers that is hit, idle ones as well; the seed chooses them.",
    default=1.0,
    unit="of 1",
    minimum=0.01,
    maximum=1,
)


def choose_partitions(
    parameters: Mapping[str, Any],
    partitions: Sequence[Partition],
    occupied: Collection[int],
    chance: random.Random,
) -> list[int]:
    """The partitions to hit: the one asked for, a `share` of all, or `count` busy ones, by the seed alone.

    Pod names and the order in which workers started do not matter. Raises UsageError, OccupiedError when the
    partition asked for has a fault, NoVictimError when too few are free.
    """
    wanted = parameters.get("partition")
    share = parameters.get("share")
    if wanted is not None and not any(partition.number == wanted for partition in partitions):
        raise UsageError(f"there is no partition {wanted}: this lab has {len(partitions)}, from 0 on")
    count = int(parameters.get("count", 1))
    if wanted is not None:
        if count != 1:
            raise UsageError("partition names one worker: count must be 1 with it")
        if wanted in occupied:
            raise OccupiedError(
                f"partition {wanted} has a fault already", hint="heal it first, or choose another partition"
            )
        return [int(wanted)]
    idle = 0.0 if share is not None else IDLE_SHARE / max(1, len(partitions))
    ranked = sorted(partition.number for partition in partitions if partition.share >= idle)
    chance.shuffle(ranked)
    free = [number for number in ranked if number not in occupied]
    if share is not None:
        count = max(1, min(round(share * len(partitions)), len(free)))
    if len(free) < count:
        raise NoVictimError(
            f"{count} workers asked for, and only {len(free)} busy ones have no fault yet",
            hint="heal some, or ask for fewer",
        )
    return free[:count]


def holders(numbers: Sequence[int], partitions: Sequence[Partition]) -> list[FaultTarget]:
    """The pods that hold these partitions. Raises NoVictimError when one has no holder at the moment."""
    held = {partition.number: partition.holder for partition in partitions}
    targets = []
    for number in numbers:
        pod = held.get(number)
        if pod is None:
            raise NoVictimError(f"no worker holds partition {number} at the moment")
        targets.append(FaultTarget("Pod", NAMESPACE, pod, number))
    return targets
