"""How many pods a workload is meant to have, asked of the API server as the gateway itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lab.gateway.disruption import REPLICATED, Workload
from lab.kube.objects import KubeObject
from lab.kube.status import StatusError


class Sizes:
    """Reads the wanted number of pods. It is asked anew every time: a size of yesterday is none."""

    def __init__(self, read_object: Callable[[str], Awaitable[KubeObject]]) -> None:
        self._read_object = read_object

    async def of(self, workload: Workload) -> int | None:
        """The number of pods; None when it cannot be told."""
        if workload.plural == "pods":
            return 1 if workload.name != "*" else None
        if workload.plural not in REPLICATED | {"daemonsets"}:
            return None
        path = f"/apis/apps/v1/namespaces/{workload.namespace}/{workload.plural}/{workload.name}"
        try:
            found = await self._read_object(path)
            if workload.plural == "daemonsets":
                return int(found["status"]["desiredNumberScheduled"])
            return int(found["spec"].get("replicas", 1))
        except (StatusError, KeyError, TypeError, ValueError, AttributeError):
            return None
