"""Monitoring stands still and looks alive: the values never change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import Family, FaultSpec
from lab.faults.rows import ROWS
from lab.faults.scrape_target import APP, LEASE_LAB_MINUTES, METRIC, SCRAPE, SHARE


class FrozenMetrics:
    """Every answer is the first one after the fault began, with new timestamps."""

    medium = ROWS
    part = SCRAPE
    spec = FaultSpec(
        "frozen-metrics",
        "Series keep the value that they had when the fault began; they look new, and up stays 1.",
        (APP, SHARE, METRIC),
        family=Family.MONITORING,
        lease_lab_minutes=LEASE_LAB_MINUTES,
        on="app",
    )

    def row(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """The parameters as they are; none is a span."""
        return dict(parameters)
