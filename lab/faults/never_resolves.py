"""The page that stays: nobody is told that it is over."""

from __future__ import annotations

from lab.faults.monitoring import ALERT, PAGER, MonitoringFault, monitoring_spec


class NeverResolves(MonitoringFault):
    """Messages that an alert has ended are withheld until the fault does."""

    part = PAGER
    spec = monitoring_spec(
        "never-resolves",
        "Messages that an alert has ended are withheld: its incident stays open.",
        ALERT,
        on="alert",
    )
