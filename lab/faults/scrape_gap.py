"""Monitoring loses sight: Prometheus gets no answer from its targets."""

from __future__ import annotations

from lab.faults.monitoring import APP, SCRAPE, SHARE, MonitoringFault, monitoring_spec, ratio


class ScrapeGap(MonitoringFault):
    """`up` is 0 and the targets' series end, while the targets work."""

    part = SCRAPE
    spec = monitoring_spec(
        "scrape-gap",
        "Prometheus' scrapes fail: up is 0 and the series end, while the targets work.",
        APP,
        SHARE,
        ratio("probability", "How likely each single scrape is to fail."),
        on="app",
    )
