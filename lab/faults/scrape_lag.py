"""Monitoring runs late: Prometheus sees what was, not what is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import Family, FaultSpec, Parameter, ParameterType
from lab.faults.rows import ROWS
from lab.faults.scrape_target import APP, LEASE_LAB_MINUTES, METRIC, SCRAPE, SHARE


class ScrapeLag:
    """Answers are those of a while ago; up to that lag, they stand still first."""

    medium = ROWS
    part = SCRAPE
    spec = FaultSpec(
        "scrape-lag",
        "Prometheus gets the answers of a while ago: at first time stands still, then everything is late.",
        (
            Parameter(
                "lagLabMinutes",
                ParameterType.NUMBER,
                "How late.",
                default=5.0,
                unit="lab minutes",
                minimum=0.1,
                maximum=120,
            ),
            Parameter(
                "timestamps",
                ParameterType.BOOLEAN,
                "Samples carry the time of their measurement, so that their age shows; false: they look new.",
                default=True,
            ),
            APP,
            SHARE,
            METRIC,
        ),
        family=Family.MONITORING,
        lease_lab_minutes=LEASE_LAB_MINUTES,
        on="app",
    )

    def row(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """The lag in real seconds."""
        asked = {name: value for name, value in parameters.items() if name != "lagLabMinutes"}
        return asked | {"lagSeconds": scale.real(minutes=parameters["lagLabMinutes"])}
