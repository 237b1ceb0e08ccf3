"""What the faults of the object store have in common: whom they hit. The gateway carries them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import Family, FaultSpec, Parameter, ParameterType, split_texts
from lab.faults.api_fault import CLIENT, GATEWAY, LEASE_LAB_MINUTES, PROBABILITY
from lab.faults.rows import ROWS

VERBS = Parameter(
    "verbs",
    ParameterType.TEXT,
    "Only these, separated by commas; deletecollection is the batch delete. All when absent.",
    choices=("get", "list", "create", "update", "delete", "deletecollection"),
    several=True,
)
PREFIX = Parameter("prefix", ParameterType.TEXT, "Only keys that begin so; all when absent.")
SHARE = Parameter(
    "share",
    ParameterType.NUMBER,
    "The share of the keys that is hit; the seed and the key decide, so a key is hit each time or never.",
    default=0.2,
    unit="of 1",
    minimum=0,
    maximum=1,
)


def store_spec(name: str, summary: str, *own: Parameter) -> FaultSpec:
    """A fault of the object store: its own parameters, then the common ones. `--on` names the client."""
    return FaultSpec(
        name,
        summary,
        (*own, CLIENT),
        family=Family.STORE,
        lease_lab_minutes=LEASE_LAB_MINUTES,
        on=CLIENT.name,
    )


class StoreFault:
    """A row for the gateway: the parameters as they are, lists taken apart."""

    spec: FaultSpec
    medium = ROWS
    part = GATEWAY

    def row(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """All spans are in real seconds already, as clients count their time-outs."""
        return {**parameters, "verbs": list(split_texts(parameters.get("verbs", "")))}


__all__ = ["PREFIX", "PROBABILITY", "SHARE", "VERBS", "StoreFault", "store_spec"]
