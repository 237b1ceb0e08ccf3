"""A worker leaks memory until the kubelet kills it for its limit: OOMKilled, restarted, leaking again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, FaultTarget, Parameter, ParameterType
from lab.faults.fault import COUNT, PARTITION, QUEUE, Directive

_MEGABYTE = 1024 * 1024


class MemoryLeak:
    """By pod, so that a new pod cures; by partition when recurring, so that restarts only buy time."""

    medium = QUEUE
    spec = FaultSpec(
        "memory-leak",
        "Workers leak memory until they are OOMKilled at their limit of 192 MiB, again and again.",
        (
            COUNT,
            PARTITION,
            Parameter(
                "megabytesPerLabMinute",
                ParameterType.NUMBER,
                "How fast memory is lost; about 150 are free at the start.",
                default=15.0,
                unit="MiB per lab minute",
                minimum=0.1,
                maximum=200,
            ),
            Parameter(
                "recurring",
                ParameterType.BOOLEAN,
                "The pod that replaces the victim leaks as well.",
                default=False,
            ),
        ),
        on="partition",
    )

    def directive(self, target: FaultTarget, parameters: Mapping[str, Any], scale: TimeScale) -> Directive:
        """Leak, in bytes per real second."""
        rate = parameters["megabytesPerLabMinute"] * _MEGABYTE / scale.real(minutes=1)
        asked = {"bytesPerSecond": rate}
        if self.outlives(parameters):
            return Directive("leak", None, target.partition, asked)
        return Directive("leak", target.name, None, asked)

    def outlives(self, parameters: Mapping[str, Any]) -> bool:
        """A recurring leak does."""
        return bool(parameters.get("recurring"))
