"""A wrong setting: the api looks for payments where nobody listens. It is ready, and every order fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec
from lab.faults.cluster import CLUSTER
from lab.faults.deployments import container_path
from lab.faults.fields import ABSENT, Change, read
from lab.faults.medium import NoVictimError
from lab.kube.objects import KubeObject

_NOBODY = "http://payments.shop.svc:8090"


class BadConfig:
    """One environment variable of the Deployment; setting it right, or going back one release, mends it."""

    medium = CLUSTER
    place = ("Deployment", "shop")
    spec = FaultSpec(
        "bad-config",
        "The api is rolled out with a wrong address of payments: it is ready, and every order fails.",
    )

    def victim(self, parameters: Mapping[str, Any]) -> str:
        """The api."""
        return "api"

    def changes(self, obj: KubeObject, parameters: Mapping[str, Any], scale: TimeScale) -> Sequence[Change]:
        """The wrong port."""
        value = (*container_path(obj, "api"), "env", "name=PAYMENTS_URL", "value")
        if read(obj, value) is ABSENT:
            raise NoVictimError("the api has no PAYMENTS_URL")
        return [Change(value, _NOBODY)]
