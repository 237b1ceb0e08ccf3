"""Payments answers with an error."""

from __future__ import annotations

from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.dependency import SHARE, PaymentsFault


class DependencyErrors(PaymentsFault):
    """At once, and without a reason."""

    mode = "errors"
    spec = FaultSpec(
        "dependency-errors",
        "Payments answers with an error; the order fails with 502.",
        (
            Parameter(
                "status",
                ParameterType.INTEGER,
                "What it answers.",
                default=503,
                unit="HTTP status",
                minimum=500,
                maximum=599,
            ),
            SHARE,
        ),
    )
