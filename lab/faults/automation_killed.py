"""The automation is killed in the middle of an action: what it began is begun, and it knows nothing of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.fault import Family, FaultSpec, Parameter, ParameterType
from lab.faults.automation import AUTOMATION


class AutomationKilled:
    """SIGKILL to the program and its children; its runner starts it again, as a kubelet would."""

    medium = AUTOMATION
    spec = FaultSpec(
        "automation-killed",
        "The automation's program is killed, by default right after its next change of anything.",
        (
            Parameter(
                "when",
                ParameterType.TEXT,
                "Right after its next change that passes, or at once.",
                default="mid-action",
                choices=("mid-action", "now"),
            ),
        ),
        family=Family.AUTOMATION,
        lease_lab_minutes=15,
        on="when",
    )

    def act(self, parameters: Mapping[str, Any]) -> str:
        """Kill."""
        return "kill"

    def waits(self, parameters: Mapping[str, Any]) -> bool:
        """For the next change, unless it is to come at once."""
        return bool(parameters["when"] == "mid-action")

    def lasts(self) -> bool:
        """A kill is over once it is done."""
        return False
