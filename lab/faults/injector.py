"""Injecting, undoing, reconciling. The journal is written first; what it says is made so, again and again.

    inject   choose victims → journal: planned → medium: apply → journal: active
    undo     medium: undo → journal: undone
    tick     leases that are over, victims that are gone, media that do not agree with the journal

Killed at any instant, the injector finds in the journal all it may have started, and goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry

from lab.core.clock import Clock, TimeScale
from lab.core.fault import FaultState, FaultTarget, JournalEntry, find_spec
from lab.core.seed import stream
from lab.errors import LabError, NotReadyError
from lab.faults.journal import Journal, JournalStore
from lab.faults.medium import AWAY, Medium, Situation
from lab.faults.registry import FAULTS, SPECS
from lab.metrics import catalogue
from lab.metrics.metric import counter, gauge

log = logging.getLogger("faults")
_TICK_SECONDS = 0.25


class Injector:
    """The one writer of the journal. Call `start` before anything else, and keep `run` running."""

    def __init__(
        self,
        media: Mapping[str, Medium],
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
        self._media = media
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

        for_seconds: its lease; by default the spec's own, which may be none.
        chance: chooses the victims; by default from the lab's seed and the number of entries so far.
        before_save: changes to the journal that go out in the same write as the plan.
        Raises UsageError, OccupiedError, NoVictimError, and NotReadyError when journal or database is away.
        """
        spec = find_spec(name, SPECS)
        values = spec.read(parameters or {})
        async with self._lock:
            try:
                chance = chance or stream(self.seed, "faults", name, str(self.journal.count))
                medium = self._medium(name)
                situation = Situation(self._held(medium), chance)
                targets = await medium.choose(FAULTS[name], values, situation)
                plans = [self._plan(name, target, values) for target in targets]
                entries = [replace(plan, undo=await medium.prepare(plan)) for plan in plans]
                await self._save(before_save or _nothing, *entries)
                await self._apply(medium, entries, self._lease(name, for_seconds))
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
            return await self._undo_or_tell(entries, by)

    async def heal(self, name: str | None = None) -> list[JournalEntry]:
        """Undo all that is open, or all of that name; what is just being applied as well.

        Raises NotReadyError.
        """
        async with self._lock:
            entries = [entry for entry in self.journal.open() if name in (None, entry.fault)]
            return await self._undo_or_tell(entries, "heal")

    async def change(self, change: Callable[[Journal], None]) -> None:
        """Change the journal and write it. Raises NotReadyError when it cannot be written."""
        async with self._lock:
            try:
                await self._save(change)
            except AWAY as error:
                raise NotReadyError(f"the journal cannot be written: {_first_line(error)}") from error

    async def tick(self) -> None:
        """Make the world agree with the journal once. A part that is away is tried again at the next tick,
        and keeps no other from being mended."""
        async with self._lock:
            away: list[BaseException] = []
            for medium in self._media.values():
                try:
                    await self._tend(medium)
                except AWAY as error:
                    away.append(error)
            self._ready = not away
            if away:
                self._tell(away[0])
            else:
                self._told = ""

    def _plan(self, name: str, target: FaultTarget, values: Mapping[str, Any]) -> JournalEntry:
        return JournalEntry(
            id=self.journal.next_id(name),
            fault=name,
            target=target,
            decoy=SPECS[name].decoy,
            parameters=dict(values),
            planned_at=self.clock.now(),
        )

    async def _apply(
        self, medium: Medium, entries: Sequence[JournalEntry], for_seconds: float | None
    ) -> None:
        now = self.clock.now()
        biting = [entry.applied(now, for_seconds) for entry in entries]
        try:
            await medium.apply(biting)
        except (LabError, *AWAY) as error:
            await medium.undo(entries)
            await self._save(_nothing, *(entry.failed(_first_line(error)) for entry in entries))
            raise
        done = [e.undone(now, "itself") if SPECS[e.fault].instant else e for e in biting]
        await self._save(_nothing, *done)
        for entry in entries:
            self._injected.labels(entry.fault).inc()
            partition = entry.target.partition
            where = "" if partition is None else f" (partition {partition})"
            log.info("%s on %s%s", entry.id, entry.target.name, where)

    async def _undo_or_tell(self, entries: Sequence[JournalEntry], by: str) -> list[JournalEntry]:
        try:
            return await self._undo(entries, by)
        except AWAY as error:
            raise NotReadyError(f"the fault cannot be undone yet: {_first_line(error)}") from error

    async def _undo(self, entries: Iterable[JournalEntry], by: str) -> list[JournalEntry]:
        still = [entry for entry in entries if self.journal.entries.get(entry.id, entry).open]
        done = []
        for medium, some in self._by_medium(still):
            notes = await medium.undo(some) or {}
            now = self.clock.now()
            ended = [replace(entry.undone(now, by), error=notes.get(entry.id, "")) for entry in some]
            await self._save(_nothing, *ended)
            done += ended
        for entry in done:
            log.info("%s undone by %s", entry.id, by)
        return done

    async def _tend(self, medium: Medium) -> None:
        await self._finish_plans(medium)
        now = self.clock.now()
        await self._undo([entry for entry in self._held(medium) if entry.expired(now)], "lease")
        await self._notice_ends(medium)
        await medium.agree(self._held(medium))

    async def _finish_plans(self, medium: Medium) -> None:
        """A plan that is still one was interrupted before anybody knew of it: it never happened."""
        plans = [entry for entry in self._held(medium) if entry.state is FaultState.PLANNED]
        if plans:
            await medium.undo(plans)
            await self._save(_nothing, *(entry.failed("the injector was interrupted") for entry in plans))

    async def _notice_ends(self, medium: Medium) -> None:
        held = self._held(medium)
        if not held:
            return
        ended = await medium.ended(held)
        for by in sorted(set(ended.values())):
            await self._undo([entry for entry in held if ended.get(entry.id) == by], by)

    def _medium(self, fault: str) -> Medium:
        try:
            return self._media[FAULTS[fault].medium]
        except KeyError:
            raise NotReadyError(f"the fault {fault} needs a cluster, and this injector has none") from None

    def _held(self, medium: Medium) -> list[JournalEntry]:
        return [entry for entry in self.journal.open() if self._medium(entry.fault) is medium]

    def _by_medium(self, entries: Iterable[JournalEntry]) -> list[tuple[Medium, list[JournalEntry]]]:
        sorted_out: dict[str, list[JournalEntry]] = {}
        for entry in entries:
            sorted_out.setdefault(FAULTS[entry.fault].medium, []).append(entry)
        return [(self._medium(some[0].fault), some) for some in sorted_out.values()]

    def _lease(self, name: str, for_seconds: float | None) -> float | None:
        own = SPECS[name].lease_lab_minutes
        return for_seconds if for_seconds is not None or own is None else self.scale.real(minutes=own)

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
