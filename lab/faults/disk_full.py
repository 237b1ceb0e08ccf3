"""A worker's disk fills up until the kubelet evicts the pod, as often as it is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, FaultTarget, Parameter, ParameterType
from lab.faults.fault import COUNT, PARTITION, QUEUE, Directive

_MEGABYTE = 1024 * 1024


class DiskFull:
    """By pod, so that its replacement is well; by partition when recurring, so that one follows the other."""

    medium = QUEUE
    spec = FaultSpec(
        "disk-full",
        "Workers fill their volume beyond its limit of 16 MiB: their pods are evicted, budget or not.",
        (
            COUNT,
            PARTITION,
            Parameter(
                "megabytesPerLabMinute",
                ParameterType.NUMBER,
                "How fast the volume fills; 16 are free at the start.",
                default=4.0,
                unit="MiB per lab minute",
                minimum=0.1,
                maximum=50,
            ),
            Parameter(
                "recurring",
                ParameterType.BOOLEAN,
                "The volume of the pod that replaces the victim fills as well: evicted pods pile up.",
                default=False,
            ),
        ),
        on="partition",
        lease_lab_minutes=30,
    )

    def directive(self, target: FaultTarget, parameters: Mapping[str, Any], scale: TimeScale) -> Directive:
        """Fill, in bytes per real second."""
        rate = parameters["megabytesPerLabMinute"] * _MEGABYTE / scale.real(minutes=1)
        asked = {"bytesPerSecond": rate}
        if self.outlives(parameters):
            return Directive("fill-disk", None, target.partition, asked)
        return Directive("fill-disk", target.name, None, asked)

    def outlives(self, parameters: Mapping[str, Any]) -> bool:
        """A recurring one does."""
        return bool(parameters.get("recurring"))
