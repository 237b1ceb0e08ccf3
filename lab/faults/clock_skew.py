"""A worker's wall clock is off: it works as ever, and what it stamps is of another time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, FaultTarget, Parameter, ParameterType
from lab.faults.fault import COUNT, PARTITION, QUEUE, Directive


class _Offset(Parameter):
    def problem(self, value: Any) -> str:
        """As any number; and a clock that is off by nothing is none."""
        return super().problem(value) or ("" if value else f"{self.name} is not 0")


class ClockSkew:
    """By pod, so that a restart cures; by partition when recurring, as on a node whose clock is off."""

    medium = QUEUE
    spec = FaultSpec(
        "clock-skew",
        "Workers' wall clocks are off: orders are confirmed before they were placed, or in the future.",
        (
            COUNT,
            PARTITION,
            _Offset(
                "seconds",
                ParameterType.NUMBER,
                "How far the clock is ahead; negative: behind. Real time; not 0.",
                default=-300.0,
                unit="seconds",
                minimum=-3600,
                maximum=3600,
            ),
            Parameter(
                "recurring",
                ParameterType.BOOLEAN,
                "The clock of the pod that replaces the victim is off as well.",
                default=False,
            ),
        ),
        on="partition",
    )

    def directive(self, target: FaultTarget, parameters: Mapping[str, Any], scale: TimeScale) -> Directive:
        """Be off."""
        asked = {"seconds": parameters["seconds"]}
        if self.outlives(parameters):
            return Directive("clock-skew", None, target.partition, asked)
        return Directive("clock-skew", target.name, None, asked)

    def outlives(self, parameters: Mapping[str, Any]) -> bool:
        """A recurring skew does."""
        return bool(parameters.get("recurring"))
