"""The controller: takes the steps of a canary, one look at a time.

    Progressing ──successes──► next step … ──► Promoted        Inconclusive ──► Paused ──promote / abort──►
         └──Failed, Error, abort──► Aborting ──shadow, 0 %──► RollingBack ──► Aborted

The status is stored before each act, and every act looks first whether it was done already. So a controller
that is killed anywhere goes on where it was.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace

from prometheus_client import CollectorRegistry

from lab.canary import transitions as moves
from lab.canary.analysis import Phase, run_phase
from lab.canary.commands import Command, read_command
from lab.canary.measures import Measures
from lab.canary.measuring import Measure
from lab.canary.objects import Asked, CanaryObjects, ControlNow
from lab.canary.rollback import Rollbacker
from lab.canary.services import BY, AuditLog, Channel
from lab.canary.status import CanaryPhase, Rollback, Status
from lab.canary.watch import Watch
from lab.core.audit import Mode
from lab.core.canary import read_plan
from lab.core.clock import Clock, TimeScale, rfc3339
from lab.errors import ConfigError, LabError, UsageError
from lab.kube.status import StatusError

ACTIVE_SECONDS = 0.5
IDLE_SECONDS = 1.0
log = logging.getLogger("lab.canary")


class Controller:
    """The only writer of the status."""

    def __init__(
        self,
        objects: CanaryObjects,
        measure: Measure,
        audit: AuditLog,
        channel: Channel,
        rollbacker: Rollbacker,
        *,
        clock: Clock,
        scale: TimeScale,
        registry: CollectorRegistry,
    ) -> None:
        self._objects = objects
        self._watch = Watch(audit, measure, clock, scale)
        self._audit = audit
        self._channel = channel
        self._rollbacker = rollbacker
        self._clock = clock
        self._measures = Measures(registry)
        self._status: Status | None = None

    @property
    def ready(self) -> bool:
        """Whether it knows where it stands."""
        return self._status is not None

    async def run(self) -> None:
        """Look for ever."""
        said = ""
        while True:
            trouble = ""
            try:
                await self.look()
            except (StatusError, LabError, ConnectionError, TimeoutError) as error:
                trouble, self._status = str(error)[:300], None  # stored or not: read it again
            except Exception:  # the edge of the loop: one bad look must not end the gate
                log.exception("a look failed")
                self._status = None
            if trouble and trouble != said:
                log.warning("%s", trouble)
            said = trouble
            idle = self._status is not None and self._status.phase.ended and self._status.applied
            await self._clock.sleep(IDLE_SECONDS if idle else ACTIVE_SECONDS)

    async def look(self) -> None:
        """One look: what was asked, where things stand, and the next act if there is one."""
        status = self._status if self._status is not None else await self._load()
        asked = await self._objects.asked()
        status = await self._start(status, asked)
        status = await self._obey(status, asked)
        if status.is_rolling_back:
            status = await self._roll_back(status)
        if not status.applied or status.phase.active:
            status = await self._steer(status, await self._objects.control())
            if not status.applied:  # at once: what is measured to be bad is not to go on until the next look
                status = await self._steer(status, await self._objects.control())
        if status.posts:
            await self._tell(status)

    async def _load(self) -> Status:
        status = await self._objects.load()
        self._watch.begin(status.step_from)
        return self._keep(status)

    async def _save(self, status: Status) -> Status:
        """Store it. What was not stored did not happen."""
        await self._objects.save(status)
        return self._keep(status)

    def _keep(self, status: Status) -> Status:
        self._status = status
        self._measures.show(status)
        return status

    async def _start(self, status: Status, asked: Asked) -> Status:
        """Begin the canary of a plan that is new; one that is being rolled back is finished first."""
        if not asked.plan or status.phase is CanaryPhase.ABORTING or status.is_rolling_back:
            return status
        try:
            plan = read_plan(json.loads(asked.plan))
        except (ValueError, ConfigError) as error:
            problem = f"the plan cannot be used: {error}"
            if status.plan_error == problem:
                return status
            return await self._save(replace(status, plan_error=problem))
        if not plan.run_id or plan.run_id == status.plan.run_id:
            return await self._save(replace(status, plan_error="")) if status.plan_error else status
        last, control = await self._audit.last(), await self._objects.control()
        self._watch.begin(last[0])
        return await self._save(moves.begun(status, plan, last, control.reach, self._clock.now()))

    async def _obey(self, status: Status, asked: Asked) -> Status:
        """Do what a person commands, once."""
        if not asked.command:
            return status
        try:
            command = read_command(asked.command)
        except UsageError as error:
            if status.answer != error.message:
                status = await self._save(replace(status, answer=error.message))
            return status
        if command.id == status.handled:
            return status
        status = replace(status, handled=command.id)
        try:
            return await self._carry_out(status, command)
        except UsageError as error:
            hint = f"; {error.hint}" if error.hint else ""
            return await self._save(replace(status, answer=f"refused: {error.message}{hint}"))

    async def _carry_out(self, status: Status, command: Command) -> Status:
        if command.action == "rollback":
            return await self._ask_rollback(status, command)
        if not status.phase.active:
            text = f"no canary is in progress (it is {status.phase.value})"
            raise UsageError(text, hint="lab canary status shows it")
        why = f" by {command.by}" + (f": {command.reason}" if command.reason else "")
        status = replace(status, answer="done")
        if command.action == "promote":
            return await self._promote(status, f"promoted from {moves.share(status)}{why}")
        text = f"aborted at {moves.share(status)}{why}"
        return await self._save(moves.aborting(status, "manual", command.by, text, self._clock.now()))

    async def _ask_rollback(self, status: Status, command: Command) -> Status:
        rehearses = command.dry_run and status.phase.active
        if not (status.phase.ended or rehearses) or status.is_rolling_back:
            raise UsageError("a canary is in progress", hint="lab canary abort ends it and restores")
        control = await self._objects.control()
        shadow = control.reach is None or control.reach.mode is Mode.SHADOW
        if not (shadow or control.stopped or command.dry_run):
            raise UsageError(
                "the automation may still act, and would do it again",
                hint="lab kill-switch on, or lab run --mode shadow, comes first",
            )
        after = 0 if command.since else status.audit_from
        at = rfc3339(self._clock.now())
        rollback = Rollback("command", command.by, at, after, command.since, command.dry_run)
        return await self._save(replace(status, rollback=rollback, answer="begun"))

    async def _steer(self, status: Status, control: ControlNow) -> Status:
        """Set the reach that is wanted, or see what came of it."""
        if not status.applied:
            return await self._apply(status, control)
        now = self._clock.now()
        if control.reach is not None and not status.wanted.same(control.reach):
            return await self._save(moves.superseded(status, control.reach, now))
        if control.stopped:
            return await self._save(moves.held(status, now)) if status.results else status
        return await self._judge(await self._watched(status))

    async def _apply(self, status: Status, control: ControlNow) -> Status:
        now, aborting = self._clock.now(), status.phase is CanaryPhase.ABORTING
        if not status.wanted.same(control.reach):
            if not aborting and not status.before.same(control.reach):
                return await self._save(moves.superseded(status, control.reach, now))
            await self._objects.set_control(control, status.wanted, status.message, now)
        phase = CanaryPhase.ROLLING_BACK if aborting else status.phase
        return await self._save(replace(status, applied=True, phase=phase))

    async def _watched(self, status: Status) -> Status:
        """With what was done and measured since the last look."""
        status = replace(status, actions=await self._watch.actions())
        if not status.judging and status.actions >= status.plan.actions_to_promote:
            status = await self._save(moves.judging(status, status.actions, self._clock.now()))
        measured = await self._watch.measured(status)
        return status if measured is None else await self._save(measured)

    async def _judge(self, status: Status) -> Status:
        """What the measurements of this run come to."""
        phase, why = run_phase(status.plan.metrics(), status.results)
        if phase is Phase.RUNNING:
            return status
        if phase is Phase.SUCCESSFUL:
            phase, why = moves.enough(status, status.plan.metrics())
        paused, now = status.phase is CanaryPhase.PAUSED, self._clock.now()
        if phase is Phase.FAILED or (phase is Phase.ERROR and not paused):
            reason, text = f"analysis-{phase.value.lower()}", f"aborted at {moves.share(status)}: {why}"
            return await self._save(moves.aborting(status, reason, BY, text, now))
        if paused or (phase is Phase.SUCCESSFUL and not status.judging):
            return await self._save(status.fresh_run(now))
        if phase is Phase.SUCCESSFUL:
            return await self._promote(status, f"promoted from {moves.share(status)}: every metric is good")
        return await self._save(moves.paused(status, why, now))

    async def _promote(self, status: Status, why: str) -> Status:
        number, _ = await self._audit.last()
        self._watch.begin(number)
        return await self._save(moves.promoted(status, why, number, self._clock.now()))

    async def _roll_back(self, status: Status) -> Status:
        assert status.rollback is not None

        async def progress(rollback: Rollback) -> None:
            nonlocal status
            status = await self._save(replace(status, rollback=rollback))

        time = status.audit_time if status.rollback.after == status.audit_from else ""
        rollback = await self._rollbacker.run(status.rollback, time, progress)
        return await self._save(moves.rolled_back(status, rollback, self._clock.now()))

    async def _tell(self, status: Status) -> None:
        """Tell the team's channel the next line; it may come twice when this is killed, never not at all."""
        try:
            await self._channel.post(status.posts[0])
        except (ConnectionError, TimeoutError) as error:
            log.info("the channel does not answer: %s", error)
            return
        await self._save(replace(status, posts=status.posts[1:]))
