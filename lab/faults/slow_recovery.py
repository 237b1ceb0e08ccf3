"""Payments is out, and comes back slowly by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.dependency import PaymentsFault


class SlowRecovery(PaymentsFault):
    """An outage, then a climb: whoever retries at full load meets errors until the end of it."""

    mode = "outage"
    spec = FaultSpec(
        "slow-recovery",
        "Payments is out, and then takes a growing part of the requests until it is whole again by itself.",
        (
            Parameter(
                "outageLabMinutes",
                ParameterType.NUMBER,
                "How long it takes nothing.",
                default=1.0,
                unit="lab minutes",
                minimum=0,
                maximum=60,
            ),
            Parameter(
                "recoveryLabMinutes",
                ParameterType.NUMBER,
                "How long it then climbs from nothing to everything.",
                default=4.0,
                unit="lab minutes",
                minimum=0.1,
                maximum=60,
            ),
        ),
    )

    def asked(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """In real seconds."""
        return {
            "outageSeconds": scale.real(minutes=parameters["outageLabMinutes"]),
            "recoverySeconds": scale.real(minutes=parameters["recoveryLabMinutes"]),
        }

    def lasts(self, parameters: Mapping[str, Any], scale: TimeScale) -> float | None:
        """Outage and recovery."""
        return scale.real(minutes=parameters["outageLabMinutes"] + parameters["recoveryLabMinutes"])
