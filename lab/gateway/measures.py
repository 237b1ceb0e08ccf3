"""The gateway's metrics, fed from audit records and the control state."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from lab.core.audit import AuditRecord, Decision, Mode
from lab.gateway.control import ControlState
from lab.kube.request import MUTATING_VERBS
from lab.kube.resources import BUILTIN
from lab.metrics.catalogue import (
    BUDGET_LIMIT,
    BUDGET_USED,
    GATEWAY_DURATION,
    GATEWAY_MODE,
    GATEWAY_REQUESTS,
    KILL_SWITCH,
    MUTATIONS,
)
from lab.metrics.metric import counter, gauge, histogram

_RESOURCES = frozenset(resource.plural for resource in BUILTIN) | {"backends", "buckets", "objects"}
_VERBS = MUTATING_VERBS | {"get", "list", "watch"}


class Measures:
    """One registry. Labels that a client chooses are mapped to known values, so it cannot create series."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = counter(GATEWAY_REQUESTS, self.registry)
        self._mutations = counter(MUTATIONS, self.registry)
        self._duration = histogram(GATEWAY_DURATION, self.registry)
        self._stopped = gauge(KILL_SWITCH, self.registry)
        self._mode = gauge(GATEWAY_MODE, self.registry)
        self._used = gauge(BUDGET_USED, self.registry)
        self._limit = gauge(BUDGET_LIMIT, self.registry)
        self._series: dict[tuple[Counter, tuple[str, ...]], Counter] = {}
        self._shown: set[str] = set()
        self._state: ControlState | None = None

    def count(self, record: AuditRecord) -> None:
        """Count one answered request."""
        verb = record.verb if record.verb in _VERBS else "other"
        resource = record.resource if record.resource in _RESOURCES else "other"
        mode, decision = record.mode.value, record.decision.value
        self._add(self._requests, mode, verb, resource, decision, str(record.code))
        self._duration.observe(record.latency_ms / 1000)
        if record.mutating:
            self._add(self._mutations, mode, verb, resource, outcome(record))

    def _add(self, metric: Counter, *values: str) -> None:
        series = self._series.get((metric, values))
        if series is None:
            series = self._series[metric, values] = metric.labels(*values)
        series.inc()

    def show_budgets(self, used: dict[str, float], limits: dict[str, float]) -> None:
        """Export the budgets that are set; one that is not set any more has no series."""
        for budget in self._shown - limits.keys():
            self._used.remove(budget)
            self._limit.remove(budget)
        for budget, limit in limits.items():
            self._used.labels(budget).set(used[budget])
            self._limit.labels(budget).set(limit)
        self._shown = set(limits)

    def show(self, state: ControlState) -> None:
        """Export the control state."""
        if state is self._state:
            return
        self._state = state
        self._stopped.set(1 if state.stopped else 0)
        for mode in Mode:
            self._mode.labels(mode.value).set(1 if state.mode is mode else 0)


def outcome(record: AuditRecord) -> str:
    """What became of a mutation: refused, failed, shadowed, dry_run or applied."""
    if record.decision is Decision.REFUSED:
        return "refused"
    if not 100 <= record.code < 400:
        return "failed"
    if record.decision is Decision.SHADOWED:
        return "shadowed"
    return "dry_run" if record.dry_run else "applied"
