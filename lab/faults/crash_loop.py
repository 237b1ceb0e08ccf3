"""A release whose container ends as soon as it starts: CrashLoopBackOff, and nobody serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.cluster import CLUSTER
from lab.faults.deployments import container_path
from lab.faults.fields import Change
from lab.kube.objects import KubeObject

_ENDS = "import sys; sys.exit('settings: unknown key pool_sizee')"


class CrashLoop:
    """The old pods are taken away first (Recreate), so that the damage reaches customers."""

    medium = CLUSTER
    place = ("Deployment", "shop")
    spec = FaultSpec(
        "crash-loop",
        "The containers of a Deployment of the shop end at start, again and again; nobody serves meanwhile.",
        (
            Parameter(
                "deployment",
                ParameterType.TEXT,
                "The Deployment.",
                default="api",
                choices=("api", "payments", "worker"),
            ),
        ),
        on="deployment",
    )

    def victim(self, parameters: Mapping[str, Any]) -> str:
        """The Deployment asked for."""
        return str(parameters["deployment"])

    def changes(self, obj: KubeObject, parameters: Mapping[str, Any], scale: TimeScale) -> Sequence[Change]:
        """Another command, and the strategy."""
        container = container_path(obj, self.victim(parameters))
        return [
            Change((*container, "command"), ["python", "-c", _ENDS]),
            Change(("spec", "strategy"), {"type": "Recreate"}, damage=False),
        ]
