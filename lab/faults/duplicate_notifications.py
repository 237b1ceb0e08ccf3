"""At-least-once delivery, felt: the same notification again and again."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.monitoring import ALERT, PAGER, PROBABILITY, MonitoringFault, monitoring_spec, span


class DuplicateNotifications(MonitoringFault):
    """The same body is posted again, to the same receiver."""

    part = PAGER
    spec = monitoring_spec(
        "duplicate-notifications",
        "Receivers get each notification several times, as from two Alertmanagers that lost each other.",
        Parameter(
            "copies",
            ParameterType.INTEGER,
            "How many times more.",
            default=1,
            unit="notifications",
            minimum=1,
            maximum=20,
        ),
        span("after", "How long after the first each further one comes.", 0.5, 0, 60),
        ALERT,
        PROBABILITY,
        on="alert",
    )
