"""The medium of the queue: rows of chaos.directives, which the shop's workers read several times a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from lab.core.clock import Clock, TimeScale
from lab.core.fault import FaultTarget, JournalEntry
from lab.faults.fault import QUEUE, Directive, QueueFault, choose_partitions, holders
from lab.faults.medium import Fault, NoVictimError, Situation
from lab.faults.shop_queue import ShopQueue, Victims

_HOLDER_WAIT_SECONDS = 3.0
_LOOK_SECONDS = 0.25


class QueueMedium:
    """Faults of the shop's workers."""

    name = QUEUE

    def __init__(
        self,
        queue: ShopQueue,
        victims: Victims,
        faults: Mapping[str, Fault],
        scale: TimeScale,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._victims = victims
        self._faults = {name: cast(QueueFault, f) for name, f in faults.items() if f.medium == QUEUE}
        self._scale = scale
        self._clock = clock

    async def choose(
        self, fault: Fault, values: Mapping[str, Any], situation: Situation
    ) -> list[FaultTarget]:
        """Partitions by the seed, and whoever holds them; a partition without a holder is waited for."""
        occupied = {e.target.partition for e in situation.held if e.target.partition is not None}
        partitions = await self._queue.partitions()
        numbers = choose_partitions(values, partitions, occupied, situation.chance)
        deadline = self._clock.monotonic() + _HOLDER_WAIT_SECONDS
        while True:
            try:
                return holders(numbers, partitions)
            except NoVictimError:
                if self._clock.monotonic() >= deadline:
                    raise
            await self._clock.sleep(_LOOK_SECONDS)
            partitions = await self._queue.partitions()

    async def prepare(self, entry: JournalEntry) -> Mapping[str, Any]:
        """A row is all there is."""
        return {}

    async def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Ask."""
        await self._queue.ask({entry.id: self._directive(entry) for entry in entries})

    async def undo(self, entries: Sequence[JournalEntry]) -> None:
        """Ask no longer."""
        await self._queue.withdraw([entry.id for entry in entries])

    async def ended(self, entries: Sequence[JournalEntry]) -> Mapping[str, str]:
        """Those that their victims are through with, and those whose pod is gone, unless they outlive it."""
        done = await self._queue.done()
        over = {entry.id: "itself" for entry in entries if entry.id in done}
        mortal = [entry for entry in entries if not self._faults[entry.fault].outlives(entry.parameters)]
        if mortal:
            alive = await self._victims.alive()
            over |= {entry.id: "restart" for entry in mortal if entry.target.name not in alive}
        return over

    async def agree(self, entries: Sequence[JournalEntry]) -> None:
        """The database may have lost rows with its data, or kept rows whose end was not written."""
        asked = await self._queue.directives()
        wanted = {entry.id: self._directive(entry) for entry in entries}
        await self._queue.ask({identity: wanted[identity] for identity in wanted.keys() - asked})
        await self._queue.withdraw(sorted(asked - wanted.keys()))

    def _directive(self, entry: JournalEntry) -> Directive:
        fault = self._faults[entry.fault]
        return fault.directive(entry.target, entry.parameters, self._scale)
