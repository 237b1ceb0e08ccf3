"""Monitoring stands still and looks alive: the values never change."""

from __future__ import annotations

from lab.faults.monitoring import APP, METRIC, SCRAPE, SHARE, MonitoringFault, monitoring_spec


class FrozenMetrics(MonitoringFault):
    """Every answer is the first one after the fault began, with new timestamps."""

    part = SCRAPE
    spec = monitoring_spec(
        "frozen-metrics",
        "Series keep the value that they had when the fault began; they look new, and up stays 1.",
        APP,
        SHARE,
        METRIC,
        on="app",
    )
