"""The pager's metrics, bound to a registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from lab.core.approval import ApprovalStatus
from lab.metrics import catalogue
from lab.metrics.metric import counter, gauge, histogram
from lab.pager.state import PagerState
from lab.pager.values import LetterStatus

APPROVAL_RESULTS = ("requested", "approved", "refused", "expired", "used")


class PagerMeters:
    """Counters, gauges and histograms of one pager. Counters start at zero when the process does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.pages = counter(catalogue.PAGES, registry)
        self.open = gauge(catalogue.INCIDENTS_OPEN, registry)
        self.to_acknowledge = histogram(catalogue.TIME_TO_ACKNOWLEDGE, registry)
        self.to_resolve = histogram(catalogue.TIME_TO_RESOLVE, registry)
        self.escalations = counter(catalogue.ESCALATIONS, registry)
        self.timeouts = counter(catalogue.ESCALATION_TIMEOUTS, registry)
        self.status_posts = counter(catalogue.STATUS_POSTS, registry)
        self.approvals = counter(catalogue.APPROVALS, registry)
        self.approvals_pending = gauge(catalogue.APPROVALS_PENDING, registry)
        self.dead_letters = gauge(catalogue.DEAD_LETTERS, registry)
        self.silenced = gauge(catalogue.SILENCED_ALERTS, registry)
        for result in APPROVAL_RESULTS:
            self.approvals.labels(result)

    def follow(self, state: PagerState) -> None:
        """Set the gauges to what is."""
        self.open.set(len(state.open))
        pending = sum(a.status is ApprovalStatus.PENDING for a in state.approvals.values())
        self.approvals_pending.set(pending)
        letters = state.dead_letters.values()
        self.dead_letters.set(sum(letter.status is LetterStatus.OPEN for letter in letters))
