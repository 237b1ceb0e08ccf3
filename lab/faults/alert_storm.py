"""Everything is red at once: alerts of services that nobody asked about."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.monitoring import PAGER, MonitoringFault, monitoring_spec, span


class AlertStorm(MonitoringFault):
    """Alerts of other services fire; nothing is wrong with any of them."""

    part = PAGER
    spec = monitoring_spec(
        "alert-storm",
        "Many alerts of other services fire at once and drown those that matter; nothing is wrong there.",
        Parameter(
            "count",
            ParameterType.INTEGER,
            "How many.",
            default=40,
            unit="alerts",
            minimum=1,
            maximum=300,
        ),
        span("spread", "How long it takes until all of them fire.", 0.5, 0, 60),
    )
