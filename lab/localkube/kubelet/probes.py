"""A container's probes over time: startup gates the others, readiness says ready, liveness asks for a kill.

One deviation makes labs quick: until a startup or readiness probe has succeeded once it is asked more often
than each period. Failures are still counted and said once a period, and those of the first period not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from lab.core.clock import Clock
from lab.localkube.kubelet.checks import Outcome, Target, check

EARLY_SECONDS = 0.1
"""How soon a failure during the first period is asked again."""
GROWTH = 1.2
"""After it each pause is so much longer than the one before, up to the period."""


class ProbeListener(Protocol):
    """Who is told what probes find."""

    def set_started(self) -> None:
        """The startup probe succeeded, or there is none."""

    def set_ready(self, ready: bool) -> None:
        """The readiness probe crossed a threshold, or there is none."""

    def unhealthy(self, kind: str, outcome: Outcome) -> None:
        """A probe failed once, or warned; `kind` is Startup, Readiness or Liveness."""

    def condemn(self, kind: str, grace: float | None) -> None:
        """The container is to be killed; `grace` is the probe's own, in seconds."""


@dataclass(frozen=True, slots=True)
class Timing:
    """A probe's numbers: seconds, and counts of results in a row."""

    delay: float
    period: float
    timeout: float
    successes: int
    failures: int
    grace: float | None

    @classmethod
    def of(cls, spec: dict[str, Any]) -> Timing:
        """Read a probe with upstream's defaults."""
        grace = spec.get("terminationGracePeriodSeconds")
        return cls(
            float(spec.get("initialDelaySeconds") or 0),
            float(spec.get("periodSeconds") or 10),
            float(spec.get("timeoutSeconds") or 1),
            int(spec.get("successThreshold") or 1),
            int(spec.get("failureThreshold") or 3),
            None if grace is None else float(grace),
        )


async def run_probes(
    target: Target, listener: ProbeListener, clock: Clock, ending: Callable[[], bool] = lambda: False
) -> None:
    """Probe a running container until cancelled. Once it is `ending`, liveness and startup do not matter."""
    spec = target.container
    began = clock.monotonic()
    if "startupProbe" in spec and not await _startup(
        spec["startupProbe"], target, listener, clock, began, ending
    ):
        return
    listener.set_started()
    loops = []
    if "readinessProbe" in spec:
        loops.append(_readiness(spec["readinessProbe"], target, listener, clock, began))
    else:
        listener.set_ready(True)
    if "livenessProbe" in spec:
        loops.append(_liveness(spec["livenessProbe"], target, listener, clock, began, ending))
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(loop)


async def _wait_delay(timing: Timing, clock: Clock, began: float) -> None:
    left = began + timing.delay - clock.monotonic()
    if left > 0:
        await clock.sleep(left)


async def _first_success(
    spec: dict[str, Any], target: Target, clock: Clock, began: float, failed: Callable[[Outcome], bool]
) -> Outcome:
    """Ask until it succeeds; `failed` hears why not, once a period, and says whether to give up.

    A command costs a process, so after the first period it is run once a period.
    """
    timing = Timing.of(spec)
    await _wait_delay(timing, clock, began)
    first = due = began + timing.delay + timing.period
    pause = EARLY_SECONDS
    while True:
        outcome = await check(spec, target, timing.timeout)
        if outcome.ok:
            return outcome
        now = clock.monotonic()
        if now >= due:
            if failed(outcome):
                return outcome
            due = now + timing.period
        if now >= first:
            pause = timing.period if "exec" in spec else pause * GROWTH
        await clock.sleep(min(pause, timing.period))


async def _startup(
    spec: dict[str, Any],
    target: Target,
    listener: ProbeListener,
    clock: Clock,
    began: float,
    ending: Callable[[], bool],
) -> bool:
    timing = Timing.of(spec)
    failures = 0

    def failed(outcome: Outcome) -> bool:
        nonlocal failures
        if ending():
            return True
        failures += 1
        listener.unhealthy("Startup", outcome)
        return failures >= timing.failures

    outcome = await _first_success(spec, target, clock, began, failed)
    if outcome.warned:
        listener.unhealthy("Startup", outcome)
    if not outcome.ok and not ending():
        listener.condemn("startup", timing.grace)
    return outcome.ok


async def _readiness(
    spec: dict[str, Any], target: Target, listener: ProbeListener, clock: Clock, began: float
) -> None:
    def failed(outcome: Outcome) -> bool:
        listener.unhealthy("Readiness", outcome)
        return False

    timing = Timing.of(spec)
    outcome = await _first_success(spec, target, clock, began, failed)
    successes = failures = 0
    ready = False
    while True:
        successes, failures = _count(outcome, successes, failures)
        if not outcome.ok or outcome.warned:
            listener.unhealthy("Readiness", outcome)
        if not ready and successes >= timing.successes:
            ready = True
            listener.set_ready(True)
        elif ready and failures >= timing.failures:
            ready = False
            listener.set_ready(False)
        await clock.sleep(timing.period)
        outcome = await check(spec, target, timing.timeout)


async def _liveness(
    spec: dict[str, Any],
    target: Target,
    listener: ProbeListener,
    clock: Clock,
    began: float,
    ending: Callable[[], bool],
) -> None:
    timing = Timing.of(spec)
    await _wait_delay(timing, clock, began)
    failures = 0
    while True:
        outcome = await check(spec, target, timing.timeout)
        if ending():
            return
        _, failures = _count(outcome, 0, failures)
        if not outcome.ok or outcome.warned:
            listener.unhealthy("Liveness", outcome)
        if failures >= timing.failures:
            listener.condemn("liveness", timing.grace)
            return
        await clock.sleep(timing.period)


def _count(outcome: Outcome, successes: int, failures: int) -> tuple[int, int]:
    return (successes + 1, 0) if outcome.ok else (0, failures + 1)
