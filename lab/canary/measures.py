"""The canary's own metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from lab.canary.status import CanaryPhase, Status
from lab.metrics.catalogue import CANARY_PERCENT, CANARY_PHASE, ROLLBACKS
from lab.metrics.metric import counter, gauge

REASONS = ("analysis-failed", "analysis-error", "manual", "command")


class Measures:
    """Shows a status. Counters go on from what is stored in it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._percent = gauge(CANARY_PERCENT, registry)
        self._phase = gauge(CANARY_PHASE, registry)
        self._rollbacks = counter(ROLLBACKS, registry)
        self._counted = dict.fromkeys(REASONS, 0)
        for reason in REASONS:
            self._rollbacks.labels(reason)
        self.show(Status())

    def show(self, status: Status) -> None:
        """Set every series."""
        self._percent.set(status.percent)
        for phase in CanaryPhase:
            self._phase.labels(phase.value).set(phase is status.phase)
        for reason in REASONS:
            more = status.rollbacks.get(reason, 0) - self._counted[reason]
            if more > 0:
                self._rollbacks.labels(reason).inc(more)
                self._counted[reason] += more
