"""Payments answers late."""

from __future__ import annotations

from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.dependency import SHARE, PaymentsFault


class DependencyLatency(PaymentsFault):
    """Above one second the api gives up, so the shop's answer turns from late into an error."""

    mode = "latency"
    spec = FaultSpec(
        "dependency-latency",
        "Payments answers late; the api gives up on it after 1 second.",
        (
            Parameter(
                "delaySeconds",
                ParameterType.NUMBER,
                "How much later it answers.",
                default=0.8,
                unit="real seconds",
                minimum=0.01,
                maximum=30,
            ),
            SHARE,
        ),
    )
