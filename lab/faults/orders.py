"""The medium of orders: one order of the queue is such that working on it fails, however often one tries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.core.fault import FaultTarget, JournalEntry
from lab.faults.fault import NAMESPACE, choose_partitions
from lab.faults.medium import Fault, Situation
from lab.faults.shop_queue import ShopQueue

ORDERS = "orders"
"""Name of the medium."""


class OrderMedium:
    """The order carries the entry's identity as its authorization, which payments has never given."""

    def __init__(self, queue: ShopQueue) -> None:
        self._queue = queue

    async def choose(
        self, fault: Fault, values: Mapping[str, Any], situation: Situation
    ) -> list[FaultTarget]:
        """Partitions by the seed; it does not matter who works on them."""
        occupied = {e.target.partition for e in situation.held if e.target.partition is not None}
        partitions = await self._queue.partitions()
        numbers = choose_partitions(values, partitions, occupied, situation.chance)
        return [FaultTarget("Deployment", NAMESPACE, "worker", number) for number in numbers]

    async def prepare(self, entry: JournalEntry) -> Mapping[str, Any]:
        """The order is recognised by its authorization."""
        return {}

    async def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Send the orders."""
        for entry in entries:
            assert entry.target.partition is not None
            await self._queue.send_order(entry.target.partition, entry.id)

    async def undo(self, entries: Sequence[JournalEntry]) -> None:
        """Take the orders back. One that somebody has moved aside stays there."""
        await self._queue.take_back_orders([entry.id for entry in entries])

    async def ended(self, entries: Sequence[JournalEntry]) -> Mapping[str, str]:
        """Those whose order waits no longer: somebody has moved it aside."""
        if not entries:
            return {}
        waiting = await self._queue.waiting_orders()
        return {entry.id: "repair" for entry in entries if entry.id not in waiting}

    async def agree(self, entries: Sequence[JournalEntry]) -> None:
        """Take back those that no open entry knows."""
        known = {entry.id for entry in entries}
        await self._queue.take_back_orders(sorted(await self._queue.waiting_orders() - known))
