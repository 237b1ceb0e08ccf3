"""Every fault there is. One that is not in this list does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lab.core.fault import FaultSpec
from lab.faults.frozen_metrics import FrozenMetrics
from lab.faults.hung_workers import HungWorkers
from lab.faults.medium import Fault
from lab.faults.missing_series import MissingSeries
from lab.faults.scrape_gap import ScrapeGap
from lab.faults.scrape_lag import ScrapeLag
from lab.faults.slow_worker import SlowWorker

_ALL: tuple[Fault, ...] = (
    HungWorkers(),
    SlowWorker(),
    # monitoring
    ScrapeGap(),
    ScrapeLag(),
    FrozenMetrics(),
    MissingSeries(),
)

FAULTS: Mapping[str, Fault] = MappingProxyType({fault.spec.name: fault for fault in _ALL})
"""Name to fault."""

SPECS: Mapping[str, FaultSpec] = MappingProxyType({name: fault.spec for name, fault in FAULTS.items()})
"""Name to what the catalogue shows."""
