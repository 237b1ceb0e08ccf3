"""Monitoring is blind in one eye: some series are not there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import Family, FaultSpec
from lab.faults.rows import ROWS
from lab.faults.scrape_target import APP, LEASE_LAB_MINUTES, METRIC, SCRAPE, SHARE


class MissingSeries:
    """The targets answer, without the series of a pattern: by default those that the queue alert reads."""

    medium = ROWS
    part = SCRAPE
    spec = FaultSpec(
        "missing-series",
        "Series whose name matches a pattern are left out of the scrapes; up stays 1.",
        (replace(METRIC, default="shop_queue_*"), APP, SHARE),
        family=Family.MONITORING,
        lease_lab_minutes=LEASE_LAB_MINUTES,
        on="metric",
    )

    def row(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """The parameters as they are; none is a span."""
        return dict(parameters)
