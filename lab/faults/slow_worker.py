"""A decoy: a worker that is slow and healthy. Its queue grows older, stays below the alert, and drains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, FaultTarget, Parameter, ParameterType
from lab.faults.fault import COUNT, PARTITION, QUEUE, Directive


class SlowWorker:
    """Work slowly until the oldest order reaches a peak age, then catch up, then slowly again."""

    medium = QUEUE
    spec = FaultSpec(
        "slow-worker",
        "Decoy: a healthy worker works slowly; its queue ages up to a peak and drains by itself.",
        (
            COUNT,
            PARTITION,
            Parameter(
                "ordersPerSecond",
                ParameterType.NUMBER,
                "How fast it works while it is slow.",
                default=1.0,
                unit="orders per second",
                minimum=0.1,
                maximum=50,
            ),
            Parameter(
                "peakLabMinutes",
                ParameterType.NUMBER,
                "Age of its oldest order at which it catches up; the alert is at 3.",
                default=2.0,
                unit="lab minutes",
                minimum=0.1,
                maximum=60,
            ),
        ),
        decoy=True,
        on="partition",
    )

    def directive(self, target: FaultTarget, parameters: Mapping[str, Any], scale: TimeScale) -> Directive:
        """Be slow."""
        asked = {
            "ordersPerSecond": parameters["ordersPerSecond"],
            "peakSeconds": scale.real(minutes=parameters["peakLabMinutes"]),
        }
        return Directive("slow", target.name, None, asked)

    def outlives(self, parameters: Mapping[str, Any]) -> bool:
        """Never: another pod is not slow."""
        return False
