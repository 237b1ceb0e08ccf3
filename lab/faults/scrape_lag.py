"""Monitoring runs late: Prometheus sees what was, not what is."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.monitoring import APP, METRIC, SCRAPE, SHARE, MonitoringFault, monitoring_spec, span


class ScrapeLag(MonitoringFault):
    """Answers are those of a while ago; up to that lag, they stand still first."""

    part = SCRAPE
    spec = monitoring_spec(
        "scrape-lag",
        "Prometheus gets the answers of a while ago: at first time stands still, then everything is late.",
        span("lag", "How late.", 5.0, 0.1, 120),
        Parameter(
            "timestamps",
            ParameterType.BOOLEAN,
            "Samples carry the time of their measurement, so that their age shows; false: they look new.",
            default=True,
        ),
        APP,
        SHARE,
        METRIC,
        on="app",
    )
