"""The medium of services: rows of chaos.directives that all pods of one service of the shop follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

from lab.core.clock import Clock, TimeScale
from lab.core.fault import FaultSpec, FaultTarget, JournalEntry
from lab.core.seed import stream
from lab.faults.fault import NAMESPACE, Directive
from lab.faults.medium import Fault, OccupiedError, Situation
from lab.faults.shop_queue import ShopQueue

SERVICES = "services"
"""Name of the medium."""


class ServiceFault(Protocol):
    """A fault of all pods of a service. mode: one of those in lab/shop/schema.sql."""

    spec: FaultSpec
    medium: str
    mode: str

    def service(self, parameters: Mapping[str, Any]) -> str:
        """Name of the Deployment that follows it."""

    def asked(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """The parameters as the service wants them: spans in real seconds."""

    def lasts(self, parameters: Mapping[str, Any], scale: TimeScale) -> float | None:
        """Real seconds after which it is over by itself; None: never."""


class ServiceMedium:
    """One fault of a kind at a time on a service; different ones may bite together."""

    def __init__(
        self, queue: ShopQueue, faults: Mapping[str, Fault], *, seed: int, scale: TimeScale, clock: Clock
    ) -> None:
        self._queue = queue
        self._faults = {n: cast(ServiceFault, f) for n, f in faults.items() if f.medium == SERVICES}
        self._seed = seed
        self._scale = scale
        self._clock = clock

    async def choose(
        self, fault: Fault, values: Mapping[str, Any], situation: Situation
    ) -> list[FaultTarget]:
        """The service."""
        service = cast(ServiceFault, fault).service(values)
        target = FaultTarget("Deployment", NAMESPACE, service)
        if any((entry.fault, entry.target) == (fault.spec.name, target) for entry in situation.held):
            raise OccupiedError(f"{service} has a {fault.spec.name} already", hint="heal it first")
        return [target]

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
        """Those that take a course of their own, and are through with it."""
        now = self._clock.now()
        return {entry.id: "itself" for entry in entries if self._over(entry, now)}

    async def agree(self, entries: Sequence[JournalEntry]) -> None:
        """The database may have lost rows with its data, or kept rows whose end was not written."""
        asked = await self._queue.directives(services=True)
        wanted = {entry.id: self._directive(entry) for entry in entries}
        await self._queue.ask({identity: wanted[identity] for identity in wanted.keys() - asked})
        await self._queue.withdraw(sorted(asked - wanted.keys()))

    def _over(self, entry: JournalEntry, now: datetime) -> bool:
        lasts = self._faults[entry.fault].lasts(entry.parameters, self._scale)
        if lasts is None or entry.applied_at is None:
            return False
        return now >= entry.applied_at + timedelta(seconds=lasts)

    def _directive(self, entry: JournalEntry) -> Directive:
        fault = self._faults[entry.fault]
        chance = stream(self._seed, "service", entry.id).getrandbits(32)
        since = entry.applied_at or entry.planned_at
        asked = {
            **fault.asked(entry.parameters, self._scale),
            "seed": chance,
            "since": since.timestamp(),
        }
        return Directive(
            fault.mode, None, None, asked, service=entry.target.name, expires_at=entry.expires_at
        )
