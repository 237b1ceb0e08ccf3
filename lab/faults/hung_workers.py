"""Workers hang: alive, ready, and doing nothing. Their orders wait until somebody restarts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, FaultTarget, Parameter, ParameterType
from lab.faults.fault import COUNT, PARTITION, QUEUE, Directive


class HungWorkers:
    """By pod, so that a restart cures; by partition when recurring, so that the next pod hangs at once."""

    medium = QUEUE
    spec = FaultSpec(
        "hung-workers",
        "Queue workers hang while they stay Running and Ready; a restart cures, unless recurring.",
        (
            COUNT,
            PARTITION,
            Parameter(
                "recurring",
                ParameterType.BOOLEAN,
                "The pod that replaces the victim hangs as well: a restart does not cure.",
                default=False,
            ),
        ),
        on="partition",
    )

    def directive(self, target: FaultTarget, parameters: Mapping[str, Any], scale: TimeScale) -> Directive:
        """Hang."""
        if self.outlives(parameters):
            return Directive("hang", None, target.partition, {})
        return Directive("hang", target.name, None, {})

    def outlives(self, parameters: Mapping[str, Any]) -> bool:
        """A recurring hang does."""
        return bool(parameters.get("recurring"))
