"""Injecting, undoing, reconciling. The journal is written first; what it says is made so, again and again.

    inject   choose victims → journal: planned → chaos.directives → journal: active
    undo     chaos.directives → journal: undone
    tick     leases that are over, victims that are gone, directives that do not agree with the journal

Killed at any instant, the injector finds in the journal all it may have started, and goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry

from lab.core.clock import Clock, TimeScale
from lab.core.fault import FaultState, FaultTarget, JournalEntry, find_spec
from lab.core.seed import stream
from lab.errors import NotReadyError
from lab.faults.fault import Directive, Fault, NoVictimError, choose_partitions, holders
from lab.faults.journal import Journal, JournalStore
from lab.faults.registry import FAULTS, SPECS
from lab.faults.shop_queue import ShopQueue, Victims
from lab.kube.status import StatusError
from lab.metrics import catalogue
from lab.metrics.metric import counter, gauge

log = logging.getLogger("faults")
AWAY = (psycopg.Error, ConnectionError, TimeoutError, StatusError, OSError)
"""What a database or an API server that is away raises."""
_TICK_SECONDS = 0.25
_HOLDER_WAIT_SECONDS = 3.0


class Injector:
    """The one writer of the journal. Call `start` before anything else, and keep `run` running."""

    def __init__(
        self,
        queue: ShopQueue,
        victims: Victims,
        store: JournalStore,
        *,
        seed: int,
        scale: TimeScale,
        clock: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self.seed = seed
        self.scale = scale
        self.clock = clock
        self.journal = Journal()
        self._queue = queue
        self._victims = victims
        self._store = store
        self._lock = asyncio.Lock()
        self._started = False
        self._ready = False
        self._told = ""
        self._active = gauge(catalogue.FAULTS_ACTIVE, registry)
        self._injected = counter(catalogue.FAULTS_INJECTED, registry)
        for name in FAULTS:
            self._active.labels(name).set(0)
            self._injected.labels(name)

    @property
    def ready(self) -> bool:
        """Whether journal and database answered at the last tick."""
        return self._ready

    async def start(self) -> None:
        """Read the journal, however long it takes until it can be read.

        Raises ConfigError when it is not one that the injector wrote.
        """
        while True:
            try:
                self.journal = Journal.from_bytes(await self._store.load(), SPECS)
                self._started = True
                break
            except AWAY as error:
                self._tell(error)
                await self.clock.sleep(_TICK_SECONDS)
        self._count()
        log.info("journal read: %d entries, %d open", len(self.journal.entries), len(self.journal.open()))

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            await self.tick()
            await self.clock.sleep(_TICK_SECONDS)

    async def inject(
        self,
        name: str,
        for_seconds: float | None = None,
        parameters: Mapping[str, Any] | None = None,
        *,
        chance: random.Random | None = None,
        before_save: Callable[[Journal], None] | None = None,
    ) -> list[JournalEntry]:
        """Apply a fault; its entries, one per victim.

        chance: chooses the victims; by default from the lab's seed and the number of entries so far.
        before_save: changes to the journal that go out in the same write as the plan.
        Raises UsageError, OccupiedError, NoVictimError, and NotReadyError when journal or database is away.
        """
        spec = find_spec(name, SPECS)
        values = spec.read(parameters or {})
        async with self._lock:
            try:
                chance = chance or stream(self.seed, "faults", name, str(self.journal.count))
                targets = await self._choose(values, chance)
                entries = [self._plan(name, target, values) for target in targets]
                await self._save(before_save or _nothing, *entries)
                await self._apply(entries, for_seconds)
            except AWAY as error:
                raise NotReadyError(f"the fault cannot be applied: {_first_line(error)}") from error
        return [self.journal.entries[entry.id] for entry in entries]

    async def record_failure(
        self, name: str, parameters: Mapping[str, Any], error: str, change: Callable[[Journal], None]
    ) -> None:
        """Write into the journal that a planned fault found no victim."""
        async with self._lock:
            entry = self._plan(name, FaultTarget("", "", ""), parameters).failed(error)
            await self._save(change, entry)

    async def undo(self, entries: Sequence[JournalEntry], by: str) -> list[JournalEntry]:
        """Undo open entries; what is undone already stays as it is. Raises NotReadyError."""
        async with self._lock:
            try:
                return await self._undo(entries, by)
            except AWAY as error:
                raise NotReadyError(f"the fault cannot be undone yet: {_first_line(error)}") from error

    async def change(self, change: Callable[[Journal], None]) -> None:
        """Change the journal and write it. Raises NotReadyError when it cannot be written."""
        async with self._lock:
            try:
                await self._save(change)
            except AWAY as error:
                raise NotReadyError(f"the journal cannot be written: {_first_line(error)}") from error

    async def tick(self) -> None:
        """Make the world agree with the journal once. A part that is away is tried again at the next tick."""
        async with self._lock:
            try:
                await self._finish_plans()
                await self._end_leases()
                await self._notice_restarts()
                await self._agree()
                self._ready, self._told = True, ""
            except AWAY as error:
                self._ready = False
                self._tell(error)

    async def _choose(self, values: Mapping[str, Any], chance: random.Random) -> list[FaultTarget]:
        held = [entry.target.partition for entry in self.journal.open()]
        occupied = {partition for partition in held if partition is not None}
        partitions = await self._queue.partitions()
        numbers = choose_partitions(values, partitions, occupied, chance)
        deadline = self.clock.monotonic() + _HOLDER_WAIT_SECONDS
        while True:
            try:
                return holders(numbers, partitions)
            except NoVictimError:
                if self.clock.monotonic() >= deadline:
                    raise
            await self.clock.sleep(_TICK_SECONDS)
            partitions = await self._queue.partitions()

    def _plan(self, name: str, target: FaultTarget, values: Mapping[str, Any]) -> JournalEntry:
        return JournalEntry(
            id=self.journal.next_id(name),
            fault=name,
            target=target,
            decoy=SPECS[name].decoy,
            parameters=dict(values),
            planned_at=self.clock.now(),
        )

    async def _apply(self, entries: Sequence[JournalEntry], for_seconds: float | None) -> None:
        try:
            await self._queue.ask({entry.id: self._directive(entry) for entry in entries})
        except AWAY as error:
            await self._save(_nothing, *(entry.failed(_first_line(error)) for entry in entries))
            raise
        now = self.clock.now()
        await self._save(_nothing, *(entry.applied(now, for_seconds) for entry in entries))
        for entry in entries:
            self._injected.labels(entry.fault).inc()
            log.info("%s on %s (partition %s)", entry.id, entry.target.name, entry.target.partition)

    async def _undo(self, entries: Iterable[JournalEntry], by: str) -> list[JournalEntry]:
        still = [entry for entry in entries if self.journal.entries.get(entry.id, entry).open]
        if not still:
            return []
        await self._queue.withdraw([entry.id for entry in still])
        now = self.clock.now()
        done = [entry.undone(now, by) for entry in still]
        await self._save(_nothing, *done)
        for entry in done:
            log.info("%s undone by %s", entry.id, by)
        return done

    async def _finish_plans(self) -> None:
        """A plan that is still one was interrupted before anybody knew of it: it never happened."""
        plans = [entry for entry in self.journal.open() if entry.state is FaultState.PLANNED]
        if plans:
            await self._queue.withdraw([entry.id for entry in plans])
            await self._save(_nothing, *(entry.failed("the injector was interrupted") for entry in plans))

    async def _end_leases(self) -> None:
        now = self.clock.now()
        await self._undo([entry for entry in self.journal.open() if entry.expired(now)], "lease")

    async def _notice_restarts(self) -> None:
        mortal = [entry for entry in self.journal.open() if not self._fault(entry).outlives(entry.parameters)]
        if mortal:
            alive = await self._victims.alive()
            await self._undo([entry for entry in mortal if entry.target.name not in alive], "restart")

    async def _agree(self) -> None:
        """The database may have lost rows with its data, or kept rows whose end was not written."""
        asked = await self._queue.directives()
        wanted = {entry.id: self._directive(entry) for entry in self.journal.open()}
        await self._queue.ask({identity: wanted[identity] for identity in wanted.keys() - asked})
        await self._queue.withdraw(sorted(asked - wanted.keys()))

    def _fault(self, entry: JournalEntry) -> Fault:
        return FAULTS[entry.fault]

    def _directive(self, entry: JournalEntry) -> Directive:
        return self._fault(entry).directive(entry.target, entry.parameters, self.scale)

    async def _save(self, change: Callable[[Journal], None], *entries: JournalEntry) -> None:
        """Change the journal and write it; what could not be written has not changed."""
        if not self._started:
            raise NotReadyError("the journal has not been read yet")
        before = replace(self.journal, entries=dict(self.journal.entries))
        change(self.journal)
        self.journal.put(*entries)
        try:
            await self._store.save(self.journal.as_bytes())
        except BaseException:
            self.journal = before
            raise
        finally:
            self._count()

    def _count(self) -> None:
        for name in FAULTS:
            active = sum(entry.fault == name for entry in self.journal.open())
            self._active.labels(name).set(active)

    def _tell(self, error: BaseException) -> None:
        reason = _first_line(error)
        if reason != self._told:
            log.warning("waiting: %s", reason)
            self._told = reason


def _nothing(_: Journal) -> None:
    pass


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
