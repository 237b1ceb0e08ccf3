"""The automation runs twice: two pods with one identity, each of which believes that it is alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import Family, FaultSpec
from lab.faults.cluster import CLUSTER
from lab.faults.fields import Change
from lab.faults.medium import NoVictimError
from lab.kube.objects import KubeObject


class AutomationTwice:
    """Scale to two, as a hasty operator or a rollout with a surge does."""

    medium = CLUSTER
    place = ("Deployment", "automation")
    spec = FaultSpec(
        "automation-twice",
        "The automation is started a second time beside the first; both act under the same identity.",
        family=Family.AUTOMATION,
    )

    def victim(self, parameters: Mapping[str, Any]) -> str:
        """The one Deployment there."""
        return "automation"

    def changes(self, obj: KubeObject, parameters: Mapping[str, Any], scale: TimeScale) -> Sequence[Change]:
        """One replica more."""
        replicas = int(obj["spec"].get("replicas", 1))
        if replicas != 1:
            raise NoVictimError(f"the automation runs {replicas} times, not once", hint="lab run starts it")
        return [Change(("spec", "replicas"), 2)]
