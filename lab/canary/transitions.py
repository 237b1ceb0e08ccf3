"""From one status of a canary to the next, with what is said of it: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from lab.canary.analysis import Phase
from lab.canary.report import summary
from lab.canary.status import NO_REACH, CanaryPhase, Reach, Rollback, Status
from lab.core.audit import Mode
from lab.core.canary import CanaryMetric, CanaryPlan, percent_text
from lab.core.clock import rfc3339

LIVE = Reach(Mode.LIVE, 100.0)


def begun(
    status: Status, plan: CanaryPlan, last: tuple[int, str], reach: Reach | None, now: datetime
) -> Status:
    """At the first step of a new plan. last: number and time of the newest audit record."""
    fresh = Status(
        plan=plan,
        started_at=rfc3339(now),
        audit_from=last[0],
        audit_time=last[1],
        handled=status.handled,
        rollbacks=status.rollbacks,
        posts=status.posts,
        history=status.history,
    )
    fresh = at_step(fresh, 0, reach or NO_REACH, last[0], now)
    what = plan.automation or "the automation"
    text = (
        f"canary of {what} starts with {share(fresh)} of the targets (asked by {plan.by or 'nobody named'})"
    )
    return fresh.told(now, "started", text)


def at_step(status: Status, step: int, reach: Reach, number: int, now: datetime) -> Status:
    """At a step, with its reach still to be set. reach: what holds now. number: of the last audit record."""
    return replace(
        status,
        phase=CanaryPhase.PROGRESSING,
        step=step,
        step_started_at=rfc3339(now),
        step_from=number,
        actions=0,
        judging=status.plan.actions_to_promote == 0,
        before=reach,
        wanted=Reach(Mode.CANARY, status.plan.steps[step]),
        applied=False,
    ).fresh_run(now)


def promoted(status: Status, why: str, number: int, now: datetime) -> Status:
    """At the next step, or at the end. number: of the last audit record."""
    following = status.step + 1
    if following < len(status.plan.steps):
        status = at_step(status, following, status.wanted, number, now)
        return status.told(now, "promoted", f"canary {why}; next are {share(status)}")
    reach = LIVE if status.plan.steps[-1] == 100 else status.wanted
    over = replace(
        status, phase=CanaryPhase.PROMOTED, before=status.wanted, wanted=reach, applied=False, results={}
    )
    return over.told(now, "promoted", f"canary {why}; it is over, and the automation is {reach}")


def aborting(status: Status, reason: str, by: str, text: str, now: datetime) -> Status:
    """To be dropped to shadow, and what it changed to be restored."""
    over = replace(
        status,
        phase=CanaryPhase.ABORTING,
        before=status.wanted,
        wanted=NO_REACH,
        applied=False,
        rollback=Rollback(reason, by, rfc3339(now), after=status.audit_from),
    )
    return over.told(now, "aborted", f"canary {text}; the automation drops to shadow")


def paused(status: Status, why: str, now: datetime) -> Status:
    """Waiting for a person, still measured."""
    waiting = replace(status, phase=CanaryPhase.PAUSED).fresh_run(now)
    said = f"canary paused at {share(status)}: {why}. A person decides: lab canary promote, or abort"
    return waiting.told(now, "paused", said)


def superseded(status: Status, reach: Reach | None, now: datetime) -> Status:
    """Over, because a person set something else. That stays as it is."""
    over = replace(status, phase=CanaryPhase.SUPERSEDED, applied=True, wanted=reach or NO_REACH, results={})
    said = f"the canary is over: somebody set the automation to {reach or 'something unknown'}"
    return over.told(now, "superseded", said)


def judging(status: Status, actions: int, now: datetime) -> Status:
    """Enough was done at this step; what is measured from now on counts."""
    seen = "1 real action" if actions == 1 else f"{actions} real actions"
    text = f"{seen} at {share(status)}; from now on measurements count"
    return replace(status, judging=True).fresh_run(now).told(now, "judging", text, post=False)


def held(status: Status, now: datetime) -> Status:
    """Stopped by the kill switch: measurements begin anew when it is released."""
    waiting = replace(status, judging=status.plan.actions_to_promote == 0).fresh_run(now)
    return waiting.told(now, "waiting", "the kill switch is on; nothing is judged meanwhile", post=False)


def rolled_back(status: Status, rollback: Rollback, now: datetime) -> Status:
    """The restoring is over."""
    if rollback.dry_run:
        return replace(status, rollback=rollback)
    counts = dict(status.rollbacks)
    counts[rollback.reason] = counts.get(rollback.reason, 0) + 1
    phase = CanaryPhase.ABORTED if status.phase is CanaryPhase.ROLLING_BACK else status.phase
    done = replace(status, phase=phase, rollback=rollback, rollbacks=counts)
    text = f"rollback ({rollback.reason}, by {rollback.by}): {summary(rollback.items)}"
    return done.told(now, "rolled-back", text)


def enough(status: Status, metrics: Sequence[CanaryMetric]) -> tuple[Phase, str]:
    """Whether each metric of a successful run had as many successes as the plan asks for."""
    needed = status.plan.successes_to_promote
    for metric in metrics:
        seen = status.results[metric.name].successful
        if seen < needed:
            return Phase.INCONCLUSIVE, f"{metric.name}: {seen} successes, {needed} are needed"
    return Phase.SUCCESSFUL, ""


def share(status: Status) -> str:
    """The step's share of the targets, in words."""
    return f"{percent_text(status.plan.steps[status.step])} %"
