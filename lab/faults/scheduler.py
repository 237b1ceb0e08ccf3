"""Faults that come by themselves: a schedule that somebody posted, or else the shop's recurring toil.

The toil: a worker hangs every 12 lab minutes on average (4 at least, then exponential), at times and on
victims that the lab's seed decides, and stays hung until somebody restarts it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from lab.core.clock import TimeScale
from lab.core.fault_plan import Plan, Step
from lab.core.seed import stream
from lab.errors import LabError
from lab.faults.injector import Injector
from lab.faults.journal import Journal, RunningPlan
from lab.faults.medium import AWAY

log = logging.getLogger("faults.scheduler")
TOIL_FAULT = "hung-workers"
TOIL_MEAN_LAB_MINUTES = 12.0
TOIL_LEAST_LAB_MINUTES = 4.0
TOIL_MOST_AT_ONCE = 3
"""So many workers hang at most by themselves: the shop limps, and never stands still."""

PATIENCE_SECONDS = 10.0
"""How long a step of a schedule is tried before it is written down as failed."""

_TICK_SECONDS = 0.1


def toil_gap(seed: int, number: int, scale: TimeScale) -> float:
    """Real seconds before the hang of that number (0 is the first)."""
    chance = stream(seed, "toil", "gap", str(number))
    more = chance.expovariate(1 / (TOIL_MEAN_LAB_MINUTES - TOIL_LEAST_LAB_MINUTES))
    return scale.real(minutes=TOIL_LEAST_LAB_MINUTES + more)


class Scheduler:
    """Takes what is due. While a schedule is posted, even one that has ended, there is no other toil."""

    def __init__(self, injector: Injector, *, toil: bool) -> None:
        self._injector = injector
        self._toil = toil
        self._toil_due: float | None = None

    async def post(self, plan: Plan) -> None:
        """Start a schedule now, in place of any other. Raises NotReadyError."""
        running = RunningPlan(plan, self._injector.clock.now())
        await self._injector.change(lambda journal: _set_running(journal, running))
        log.info("schedule of %d steps with seed %d", len(plan.steps), plan.seed)

    async def remove(self) -> bool:
        """End the schedule; what it started stays. Whether there was one. Raises NotReadyError."""
        there = self._injector.journal.running is not None
        if there:
            await self._injector.change(lambda journal: _set_running(journal, None))
        return there

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            try:
                await self.tick()
            except (LabError, *AWAY) as error:
                log.warning("%s", error)
            await self._injector.clock.sleep(_TICK_SECONDS)

    async def tick(self) -> None:
        """Take all that is due. Raises LabError, or what a part that is away raises; call it again then."""
        running = self._injector.journal.running
        if running is None:
            await self._tick_toil()
            return
        self._toil_due = None
        now = self._injector.clock.now()
        while running is not None and running.done < len(running.plan.steps):
            step = running.plan.steps[running.done]
            late = (now - running.started_at - timedelta(seconds=step.at_seconds)).total_seconds()
            if late < 0:
                return
            await self._take(running, step, late)
            running = self._injector.journal.running

    async def _take(self, running: RunningPlan, step: Step, late: float) -> None:
        def done(journal: Journal) -> None:
            if journal.running is not None and journal.running.plan is running.plan:
                journal.running = replace(running, done=running.done + 1)

        chance = stream(running.plan.seed, "schedule", str(running.done))
        parameters = dict(step.parameters or {})
        try:
            await self._injector.inject(
                step.fault, step.for_seconds, parameters, chance=chance, before_save=done
            )
        except LabError as error:
            if late < PATIENCE_SECONDS:
                raise
            await self._injector.record_failure(step.fault, parameters, error.message, done)

    async def _tick_toil(self) -> None:
        injector = self._injector
        if not self._toil or not injector.ready:
            return
        number, now = injector.journal.toil, injector.clock.monotonic()
        if self._toil_due is None:
            self._toil_due = now + toil_gap(injector.seed, number, injector.scale)
        if now < self._toil_due:
            return
        self._toil_due = None
        if sum(entry.fault == TOIL_FAULT for entry in injector.journal.open()) >= TOIL_MOST_AT_ONCE:
            return
        chance = stream(injector.seed, "toil", "victim", str(number))
        await injector.inject(TOIL_FAULT, chance=chance, before_save=_count_toil)


def _set_running(journal: Journal, running: RunningPlan | None) -> None:
    journal.running = running


def _count_toil(journal: Journal) -> None:
    journal.toil += 1
