"""The automation stands still: it neither ends nor acts, and wakes up with an old view of the world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.fault import Family, FaultSpec
from lab.faults.automation import AUTOMATION


class AutomationPaused:
    """SIGSTOP to the program and its children, SIGCONT at the end."""

    medium = AUTOMATION
    spec = FaultSpec(
        "automation-paused",
        "The automation's program stands still; its pod stays Running and Ready. It goes on at the end.",
        family=Family.AUTOMATION,
        lease_lab_minutes=3,
    )

    def act(self, parameters: Mapping[str, Any]) -> str:
        """Pause."""
        return "pause"

    def waits(self, parameters: Mapping[str, Any]) -> bool:
        """At once."""
        return False

    def lasts(self) -> bool:
        """Until it is undone."""
        return True
