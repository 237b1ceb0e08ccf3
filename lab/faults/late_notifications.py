"""News of what is long over: alerts and notifications arrive late."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.monitoring import ALERT, PAGER, MonitoringFault, monitoring_spec, span


class LateNotifications(MonitoringFault):
    """What a receiver, or the pager itself, hears is what was true a while ago."""

    part = PAGER
    spec = monitoring_spec(
        "late-notifications",
        "Notifications arrive late: what they say may be over, and what is may not have been said.",
        span("delay", "How late.", 3.0, 0.1, 120),
        Parameter(
            "hop",
            ParameterType.TEXT,
            "Where they wait: on the way to the webhooks, or already between Prometheus and the pager.",
            default="webhooks",
            choices=("webhooks", "alerts"),
        ),
        ALERT,
        on="alert",
    )
