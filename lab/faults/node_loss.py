"""A node loses its power: all that runs there is dead at once, and the cluster hears nothing more of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.cluster import CLUSTER
from lab.faults.fault import NAMESPACE
from lab.faults.fields import Change
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject, labels_of, name_of

POWER = "localkube/power"
"""The annotation by which a virtual node of the local provider is switched off."""

_POWER = ("metadata", "annotations", POWER)
_VIRTUAL = "localkube://"
_LAB = "lab-system"
_KEPT = frozenset({"db", "logstore", "load"})
"""The shop's parts whose data would be gone with the node, and the customers, who are outside."""
_ONLY = "it is the only node, and the lab itself runs there; lab up --nodes 3 starts a lab of several nodes"


class NodeLoss:
    """Only virtual nodes can be lost. Undone, the node comes back and clears away what has left it."""

    medium = CLUSTER
    place = ("Node", "")
    spec = FaultSpec(
        "node-loss",
        "A node is lost as if its power failed: its pods are dead at once, and their objects stay until it is"
        " back. Needs a lab of several nodes (lab up --nodes).",
        (
            Parameter(
                "node",
                ParameterType.TEXT,
                "The node; chosen by the seed among those without a part of the lab itself when absent.",
                unit="name of a node",
            ),
        ),
        lease_lab_minutes=20,
        on="node",
    )

    def victim(self, parameters: Mapping[str, Any]) -> str:
        """The node asked for, or any."""
        return str(parameters.get("node") or "")

    def changes(self, obj: KubeObject, parameters: Mapping[str, Any], scale: TimeScale) -> Sequence[Change]:
        """The switch."""
        return [Change(_POWER, "off")]

    async def spared(self, kube: KubeClient) -> Mapping[str, str]:
        """Every node, where there is only one; those that the lab cannot do without; real machines."""
        nodes = (await kube.list("nodes"))["items"]
        if len(nodes) == 1:
            return {name_of(nodes[0]): _ONLY}
        found = {name_of(node): reason for node in nodes if (reason := _powerless(node))}
        for namespace in (_LAB, NAMESPACE):
            for pod in (await kube.list("pods", namespace))["items"]:
                part = labels_of(pod).get("app", "")
                if namespace == _LAB or part in _KEPT:
                    node = str(pod["spec"].get("nodeName") or "")
                    found.setdefault(node, f"{namespace}/{part} runs there, which the lab cannot do without")
        return found


def _powerless(node: KubeObject) -> str:
    """Why a node cannot be switched off; empty when it can."""
    runtime = str(((node.get("status") or {}).get("nodeInfo") or {}).get("containerRuntimeVersion") or "")
    if not runtime.startswith(_VIRTUAL):
        return "only a virtual node of the local provider can be switched off"
    if (node["metadata"].get("annotations") or {}).get(POWER) == "off":
        return "it is off already"
    return ""
