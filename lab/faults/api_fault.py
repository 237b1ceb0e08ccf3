"""What the faults of the Kubernetes API have in common: whom they hit. The gateway carries them out.

The client sees them as the API server's own trouble. Their victim is one client, or every one; they can be
confined to verbs and resources and to a share of the requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import Family, FaultSpec, Parameter, ParameterType, split_texts
from lab.faults.rows import ROWS

GATEWAY = "gateway"
LEASE_LAB_MINUTES = 10.0
_LISTS = ("verbs", "resources")

CLIENT = Parameter(
    "client", ParameterType.TEXT, "The automation that is hit, by the name of its token; all when absent."
)
VERBS = Parameter(
    "verbs",
    ParameterType.TEXT,
    "Only these verbs, separated by commas; all that the fault concerns when absent.",
    choices=("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"),
    several=True,
)
RESOURCES = Parameter(
    "resources",
    ParameterType.TEXT,
    "Only these resources, separated by commas: pods, pods/eviction, deployments.apps; all when absent.",
    several=True,
)
PROBABILITY = Parameter(
    "probability",
    ParameterType.NUMBER,
    "The share of these requests that is hit; the seed and the number of the request decide.",
    default=1.0,
    unit="of 1",
    minimum=0,
    maximum=1,
)


def seconds(name: str, meaning: str, default: float, least: float, most: float) -> Parameter:
    """A span in real seconds."""
    return Parameter(
        name, ParameterType.NUMBER, meaning, default=default, unit="seconds", minimum=least, maximum=most
    )


def api_spec(
    name: str,
    summary: str,
    *own: Parameter,
    common: tuple[Parameter, ...] = (CLIENT, VERBS, RESOURCES, PROBABILITY),
) -> FaultSpec:
    """A fault of the Kubernetes API: its own parameters, then the common ones. `--on` names the client."""
    return FaultSpec(
        name,
        summary,
        (*own, *common),
        family=Family.API,
        lease_lab_minutes=LEASE_LAB_MINUTES,
        on=CLIENT.name,
    )


class ApiFault:
    """A row for the gateway: the parameters as they are, lists taken apart."""

    spec: FaultSpec
    medium = ROWS
    part = GATEWAY

    def row(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """All spans are in real seconds already, as clients count their time-outs."""
        lists = {name: split_texts(parameters.get(name, "")) for name in _LISTS}
        return {**parameters, **{name: list(texts) for name, texts in lists.items()}}
