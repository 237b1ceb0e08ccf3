"""Monitoring is blind in one eye: some series are not there."""

from __future__ import annotations

from dataclasses import replace

from lab.faults.monitoring import APP, METRIC, SCRAPE, SHARE, MonitoringFault, monitoring_spec


class MissingSeries(MonitoringFault):
    """The targets answer, without the series of a pattern: by default those that the queue alert reads."""

    part = SCRAPE
    spec = monitoring_spec(
        "missing-series",
        "Series whose name matches a pattern are left out of the scrapes; up stays 1.",
        replace(METRIC, default="shop_queue_*"),
        APP,
        SHARE,
        on="metric",
    )
