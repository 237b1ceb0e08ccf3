"""A batch job of another team lands on a node of the shop and takes what processor time it can get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.neighbours import NEIGHBOURS


class NoisyNeighbour:
    """Nothing of the shop is touched. Deleting the pod is the cure."""

    medium = NEIGHBOURS
    app = "analytics"
    spec = FaultSpec(
        "noisy-neighbour",
        "A pod of somebody else, on a node of the shop, takes all the processor time that it can get.",
        (
            Parameter(
                "node",
                ParameterType.TEXT,
                "The node; chosen by the seed among those with pods of the shop when absent.",
                unit="name of a node",
            ),
            Parameter(
                "processesPerProcessor",
                ParameterType.INTEGER,
                "Busy processes for each processor of the node, 256 in all at most.",
                default=12,
                unit="processes",
                minimum=1,
                maximum=64,
            ),
        ),
        lease_lab_minutes=30,
        on="node",
    )

    def command(self, parameters: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
        """What the pod runs, and its environment."""
        each = {"PROCESSES_PER_PROCESSOR": str(parameters["processesPerProcessor"])}
        return ["python", "-m", "lab.shop.analytics"], each
