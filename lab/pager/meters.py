"""The pager's metrics, bound to a registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from lab.metrics import catalogue
from lab.metrics.metric import counter, gauge, histogram


class PagerMeters:
    """Counters, gauge and histograms of one pager. All start at zero when the process does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pages = counter(catalogue.PAGES, registry)
        self.open = gauge(catalogue.INCIDENTS_OPEN, registry)
        self.to_acknowledge = histogram(catalogue.TIME_TO_ACKNOWLEDGE, registry)
        self.to_resolve = histogram(catalogue.TIME_TO_RESOLVE, registry)
        self.escalations = counter(catalogue.ESCALATIONS, registry)
        self.status_posts = counter(catalogue.STATUS_POSTS, registry)
