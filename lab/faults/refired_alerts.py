"""It is over, and then it is not: a resolved alert fires again."""

from __future__ import annotations

from lab.faults.monitoring import ALERT, PAGER, PROBABILITY, MonitoringFault, monitoring_spec, span


class RefiredAlerts(MonitoringFault):
    """An alert that ended fires once more, as a new episode, though nothing is wrong any more."""

    part = PAGER
    spec = monitoring_spec(
        "refired-alerts",
        "An alert that has resolved fires again with a new startsAt, though nothing is wrong any more.",
        span("after", "How long after its end it fires again.", 1.0, 0, 60),
        span("for", "How long it fires then.", 2.0, 0.1, 60),
        ALERT,
        PROBABILITY,
        on="alert",
    )
