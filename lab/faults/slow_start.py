"""Pods of a service start slowly: alive at once, ready and at work lab minutes later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.services import SERVICES


class SlowStart:
    """Running pods stay as they are: what hurts is a restart, and a rollout."""

    medium = SERVICES
    mode = "slow-start"
    spec = FaultSpec(
        "slow-start",
        "New pods of a service become ready, and work, only lab minutes after they have started.",
        (
            Parameter(
                "deployment",
                ParameterType.TEXT,
                "Whose pods.",
                default="worker",
                choices=("api", "payments", "worker"),
            ),
            Parameter(
                "delayLabMinutes",
                ParameterType.NUMBER,
                "How long a start takes longer.",
                default=8.0,
                unit="lab minutes",
                minimum=0.1,
                maximum=60,
            ),
        ),
        on="deployment",
    )

    def service(self, parameters: Mapping[str, Any]) -> str:
        """The Deployment asked for."""
        return str(parameters["deployment"])

    def asked(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """In real seconds."""
        return {"seconds": scale.real(minutes=parameters["delayLabMinutes"])}

    def lasts(self, parameters: Mapping[str, Any], scale: TimeScale) -> float | None:
        """Until it is undone."""
        return None
