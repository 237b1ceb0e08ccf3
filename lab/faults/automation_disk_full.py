"""The automation's disk is full: its pod is evicted, and starts anew without anything it had written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.fault import Family, FaultSpec
from lab.faults.automation import AUTOMATION


class AutomationDiskFull:
    """A file in the scratch volume grows beyond its sizeLimit; what a kubelet does then is evict the pod."""

    medium = AUTOMATION
    spec = FaultSpec(
        "automation-disk-full",
        "The scratch volume of the automation's pod fills beyond its limit of 128 MiB: the pod is evicted, "
        "and its replacement begins without its files.",
        family=Family.AUTOMATION,
        lease_lab_minutes=60,
    )

    def act(self, parameters: Mapping[str, Any]) -> str:
        """Fill."""
        return "fill-disk"

    def waits(self, parameters: Mapping[str, Any]) -> bool:
        """At once."""
        return False

    def lasts(self) -> bool:
        """Until it is undone, or the pod is gone."""
        return True
