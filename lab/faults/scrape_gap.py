"""Monitoring loses sight: Prometheus gets no answer from its targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import Family, FaultSpec, Parameter, ParameterType
from lab.faults.rows import ROWS
from lab.faults.scrape_target import APP, LEASE_LAB_MINUTES, SCRAPE, SHARE


class ScrapeGap:
    """`up` is 0 and the targets' series end, while the targets work."""

    medium = ROWS
    part = SCRAPE
    spec = FaultSpec(
        "scrape-gap",
        "Prometheus' scrapes fail: up is 0 and the series end, while the targets work.",
        (
            APP,
            SHARE,
            Parameter(
                "probability",
                ParameterType.NUMBER,
                "How likely each single scrape fails.",
                default=1.0,
                unit="ratio",
                minimum=0,
                maximum=1,
            ),
        ),
        family=Family.MONITORING,
        lease_lab_minutes=LEASE_LAB_MINUTES,
        on="app",
    )

    def row(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """The parameters as they are; none is a span."""
        return dict(parameters)
