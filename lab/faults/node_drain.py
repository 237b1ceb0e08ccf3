"""A node is drained, as for maintenance: cordoned, and the shop's pods evicted as far as budgets allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.cluster import CLUSTER
from lab.faults.fault import NAMESPACE
from lab.faults.fields import ABSENT, Change, read
from lab.faults.medium import NoVictimError
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject, labels_of, name_of
from lab.kube.status import StatusError

_CORDON = ("spec", "unschedulable")
_CUSTOMERS = "load"
"""The load generator stands for people outside: it stays."""


class NodeDrain:
    """Evictions that a budget refuses are tried again each second. Undone, the node takes pods again."""

    medium = CLUSTER
    place = ("Node", "")
    spec = FaultSpec(
        "node-drain",
        "A node is cordoned and the shop's pods on it are evicted, within their disruption budgets."
        " Where it is the only node they wait until it is over.",
        (
            Parameter(
                "node", ParameterType.TEXT, "The node; chosen by the seed when absent.", unit="name of a node"
            ),
        ),
        lease_lab_minutes=3,
        on="node",
    )

    def victim(self, parameters: Mapping[str, Any]) -> str:
        """The node asked for, or any."""
        return str(parameters.get("node") or "")

    def changes(self, obj: KubeObject, parameters: Mapping[str, Any], scale: TimeScale) -> Sequence[Change]:
        """The cordon."""
        if read(obj, _CORDON) not in (ABSENT, False):
            raise NoVictimError(f"the node {name_of(obj)} is cordoned already")
        return [Change(_CORDON, True)]

    async def go_on(self, kube: KubeClient, node: str) -> None:
        """Ask for the eviction of whatever is still there."""
        found = await kube.list("pods", NAMESPACE, field_selector=f"spec.nodeName={node}")
        for pod in found["items"]:
            if labels_of(pod).get("app") != _CUSTOMERS and "deletionTimestamp" not in pod["metadata"]:
                await _evict(kube, pod)


async def _evict(kube: KubeClient, pod: KubeObject) -> None:
    metadata = {"name": name_of(pod), "namespace": NAMESPACE}
    eviction: KubeObject = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    try:
        await kube.create("pods", eviction, NAMESPACE, name=name_of(pod), subresource="eviction")
    except StatusError as error:
        if error.code not in (404, 409, 429):
            raise
