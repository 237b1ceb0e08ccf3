"""What is seen while a step lasts: real actions on members of the canary, and the metrics that are due."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from lab.canary.analysis import MetricResult, judge, next_due, record
from lab.canary.measuring import Measure
from lab.canary.services import AuditLog
from lab.canary.status import Status
from lab.canary.undo import acted
from lab.core.clock import Clock, TimeScale

MEMBER = "member"


class Watch:
    """Counts and measures; keeps nothing but how far it has read the audit log."""

    def __init__(self, audit: AuditLog, measure: Measure, clock: Clock, scale: TimeScale) -> None:
        self._audit = audit
        self._measure = measure
        self._clock = clock
        self._scale = scale
        self._after, self._actions = 0, 0

    def begin(self, after: int) -> None:
        """Count anew, from the audit records above that number."""
        self._after, self._actions = after, 0

    async def actions(self) -> int:
        """Real actions on members since it began. Raises ConnectionError."""
        found, last = await self._audit.records(self._after)
        if last < self._after:  # a new log; all of it is later
            found, last = await self._audit.records(0)
        self._actions += sum(entry.canary == MEMBER and acted(entry) and entry.code < 400 for entry in found)
        self._after = found[-1].seq if found else min(self._after, last)
        return self._actions

    async def measured(self, status: Status) -> Status | None:
        """The status with the measurements that were due; None when none was."""
        now, due = self._clock.now(), []
        for metric in status.plan.metrics():
            result = status.results.get(metric.name, MetricResult())
            at = next_due(metric, result, status.run_began, self._scale)
            if at is not None and at <= now:
                due.append((metric, result))
        if not due:
            return None
        samples = await asyncio.gather(*(self._measure.sample(metric) for metric, _ in due))
        results = dict(status.results)
        for (metric, result), sample in zip(due, samples, strict=True):
            results[metric.name] = record(result, judge(metric, sample, now, self._scale))
        return replace(status, results=results)
