"""An alert that cannot make up its mind."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.monitoring import PAGER, MonitoringFault, monitoring_spec, span


class FlappingAlert(MonitoringFault):
    """OrdersWaitingTooLong of one partition fires and resolves in turn, whatever the partition does."""

    part = PAGER
    spec = monitoring_spec(
        "flapping-alert",
        "The alert of a partition fires and resolves in turn, whatever the partition does.",
        span("firing", "How long it fires each time.", 1.0, 0.3, 60),
        span("resolved", "How long it is resolved each time.", 1.0, 0.3, 60),
        Parameter(
            "partition",
            ParameterType.INTEGER,
            "The partition that the alert is about; chosen by the seed when absent.",
            unit="partition",
            minimum=0,
            maximum=7,
        ),
        on="partition",
    )
