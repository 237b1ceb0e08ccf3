"""The automation's own metrics are gone, or lie: they show what was, whatever happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.fault import Family, FaultSpec, Parameter, ParameterType
from lab.faults.automation import AUTOMATION


class AutomationMetrics:
    """The program goes on, and does not notice."""

    medium = AUTOMATION
    spec = FaultSpec(
        "automation-metrics",
        "The metrics endpoint of the automation's pod answers 503, or goes on showing the figures of now.",
        (
            Parameter(
                "how",
                ParameterType.TEXT,
                "No metrics at all, or old ones.",
                default="gone",
                choices=("frozen", "gone"),
            ),
        ),
        family=Family.AUTOMATION,
        lease_lab_minutes=10,
        on="how",
    )

    def act(self, parameters: Mapping[str, Any]) -> str:
        """Gone or frozen."""
        return f"metrics-{parameters['how']}"

    def waits(self, parameters: Mapping[str, Any]) -> bool:
        """At once."""
        return False

    def lasts(self) -> bool:
        """Until it is undone."""
        return True
