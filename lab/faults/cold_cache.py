"""Caches are lost: workers must read their price lists from the database again before they go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, FaultTarget
from lab.faults.fault import PARTITION, QUEUE, SHARE, Directive


class ColdCache:
    """Lost once for each entry, which is over when the list is filled again; healed before, it is given back.

    The pod stays Running and Ready, as with any cache that is lost.
    """

    medium = QUEUE
    spec = FaultSpec(
        "cold-cache",
        "Workers lose their price list, all at once, and must fill it again before they confirm orders.",
        (SHARE, PARTITION),
        lease_lab_minutes=60,
        on="partition",
    )

    def directive(self, target: FaultTarget, parameters: Mapping[str, Any], scale: TimeScale) -> Directive:
        """Throw it away."""
        return Directive("cold-cache", target.name, None, {})

    def outlives(self, parameters: Mapping[str, Any]) -> bool:
        """Never: a new pod begins cold anyway."""
        return False
