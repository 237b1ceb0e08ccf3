"""A dependency blip hangs many workers in the same instant. What hurts most is restarting them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import FaultSpec, FaultTarget
from lab.faults.fault import QUEUE, SHARE, Directive


class ThunderingHerd:
    """By pod: a restart cures, and every restart has to warm its price list."""

    medium = QUEUE
    spec = FaultSpec(
        "thundering-herd",
        "A blip hangs a share of all workers at once; restarting them together overloads the database.",
        (SHARE,),
        on="share",
    )

    def directive(self, target: FaultTarget, parameters: Mapping[str, Any], scale: TimeScale) -> Directive:
        """Hang."""
        return Directive("hang", target.name, None, {})

    def outlives(self, parameters: Mapping[str, Any]) -> bool:
        """Never: the blip is over."""
        return False
