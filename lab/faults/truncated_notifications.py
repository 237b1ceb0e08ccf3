"""The notification that does not tell all: alerts are left out."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.monitoring import ALERT, PAGER, MonitoringFault, monitoring_spec


class TruncatedNotifications(MonitoringFault):
    """Alerts of one name are one group, and a notification carries some of them: `max_alerts`."""

    part = PAGER
    spec = monitoring_spec(
        "truncated-notifications",
        "Notifications group the alerts of a name and leave alerts out: truncatedAlerts says how many.",
        Parameter(
            "maxAlerts",
            ParameterType.INTEGER,
            "How many alerts a notification carries: those that began first.",
            default=1,
            unit="alerts",
            minimum=1,
            maximum=100,
        ),
        ALERT,
        on="alert",
    )
