"""A bad release of the api: rolled out as any release, ready, and slow or failing for some customers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.cluster import CLUSTER
from lab.faults.deployments import TEMPLATE, container_path
from lab.faults.fields import Change
from lab.kube.objects import KubeObject


class BadRelease:
    """A new pod template, so a rollout; `kubectl rollout undo` mends it."""

    medium = CLUSTER
    place = ("Deployment", "shop")
    spec = FaultSpec(
        "bad-release",
        "A new release of the api is slow, or fails, for all or some customers; it is ready all along.",
        (
            Parameter(
                "symptom",
                ParameterType.TEXT,
                "What those customers meet.",
                default="failing",
                choices=("failing", "slow"),
            ),
            Parameter(
                "share",
                ParameterType.NUMBER,
                "The part of the customers who meet it; always the same ones.",
                default=1.0,
                unit="of the customers",
                minimum=0.01,
                maximum=1.0,
            ),
            Parameter(
                "delaySeconds",
                ParameterType.NUMBER,
                "What an order waits in a slow release; the objective is 1 second.",
                default=1.5,
                unit="real seconds",
                minimum=0.1,
                maximum=30,
            ),
        ),
    )

    def victim(self, parameters: Mapping[str, Any]) -> str:
        """The api."""
        return "api"

    def changes(self, obj: KubeObject, parameters: Mapping[str, Any], scale: TimeScale) -> Sequence[Change]:
        """The defect, and the version that a release shows."""
        defect = {key: parameters[key] for key in ("symptom", "share", "delaySeconds")}
        variable = {"name": "RELEASE_DEFECT", "value": json.dumps(defect)}
        return [
            Change((*container_path(obj, "api"), "env", "name=RELEASE_DEFECT"), variable),
            Change((*TEMPLATE, "metadata", "labels", "app.kubernetes.io/version"), "2", damage=False),
        ]
