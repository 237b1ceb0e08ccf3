"""Every fault there is. One that is not in this list does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lab.core.fault import FaultSpec
from lab.faults.alert_storm import AlertStorm
from lab.faults.api_conflict import ApiConflict
from lab.faults.api_errors import ApiErrors
from lab.faults.api_gone import ApiGone
from lab.faults.api_hang import ApiHang
from lab.faults.api_latency import ApiLatency
from lab.faults.api_lost_response import ApiLostResponse
from lab.faults.api_outage import ApiOutage
from lab.faults.api_reset import ApiReset
from lab.faults.api_throttling import ApiThrottling
from lab.faults.automation_disk_full import AutomationDiskFull
from lab.faults.automation_killed import AutomationKilled
from lab.faults.automation_metrics import AutomationMetrics
from lab.faults.automation_paused import AutomationPaused
from lab.faults.automation_twice import AutomationTwice
from lab.faults.bad_config import BadConfig
from lab.faults.bad_release import BadRelease
from lab.faults.clock_skew import ClockSkew
from lab.faults.cold_cache import ColdCache
from lab.faults.connections_exhausted import ConnectionsExhausted
from lab.faults.crash_loop import CrashLoop
from lab.faults.dependency_errors import DependencyErrors
from lab.faults.dependency_hang import DependencyHang
from lab.faults.dependency_latency import DependencyLatency
from lab.faults.disk_full import DiskFull
from lab.faults.duplicate_notifications import DuplicateNotifications
from lab.faults.flapping_alert import FlappingAlert
from lab.faults.frozen_metrics import FrozenMetrics
from lab.faults.hung_workers import HungWorkers
from lab.faults.late_notifications import LateNotifications
from lab.faults.lock_pile_up import LockPileUp
from lab.faults.long_transaction import LongTransaction
from lab.faults.medium import Fault
from lab.faults.memory_leak import MemoryLeak
from lab.faults.missing_series import MissingSeries
from lab.faults.never_resolves import NeverResolves
from lab.faults.node_drain import NodeDrain
from lab.faults.node_loss import NodeLoss
from lab.faults.noisy_neighbour import NoisyNeighbour
from lab.faults.poison_message import PoisonMessage
from lab.faults.refired_alerts import RefiredAlerts
from lab.faults.scrape_gap import ScrapeGap
from lab.faults.scrape_lag import ScrapeLag
from lab.faults.slow_recovery import SlowRecovery
from lab.faults.slow_start import SlowStart
from lab.faults.slow_worker import SlowWorker
from lab.faults.stale_reads import StaleReads
from lab.faults.store_hold import StoreHold
from lab.faults.store_partial_delete import StorePartialDelete
from lab.faults.store_slow_down import StoreSlowDown
from lab.faults.store_slow_list import StoreSlowList
from lab.faults.store_stale_list import StoreStaleList
from lab.faults.thundering_herd import ThunderingHerd
from lab.faults.truncated_notifications import TruncatedNotifications
from lab.faults.watch_drop import WatchDrop
from lab.faults.watch_silence import WatchSilence

_ALL: tuple[Fault, ...] = (
    HungWorkers(),
    SlowWorker(),
    MemoryLeak(),
    DiskFull(),
    ClockSkew(),
    ColdCache(),
    ThunderingHerd(),
    PoisonMessage(),
    # objects of the cluster
    BadRelease(),
    BadConfig(),
    CrashLoop(),
    NodeDrain(),
    NodeLoss(),
    NoisyNeighbour(),
    # the dependency, and starts
    DependencyLatency(),
    DependencyErrors(),
    DependencyHang(),
    SlowRecovery(),
    SlowStart(),
    # the database
    LockPileUp(),
    LongTransaction(),
    ConnectionsExhausted(),
    # the automation
    AutomationKilled(),
    AutomationPaused(),
    AutomationTwice(),
    AutomationMetrics(),
    AutomationDiskFull(),
    # the Kubernetes API
    ApiLatency(),
    ApiHang(),
    ApiLostResponse(),
    ApiThrottling(),
    ApiErrors(),
    ApiReset(),
    WatchDrop(),
    WatchSilence(),
    ApiGone(),
    ApiConflict(),
    StaleReads(),
    ApiOutage(),
    # monitoring
    ScrapeGap(),
    ScrapeLag(),
    FrozenMetrics(),
    MissingSeries(),
    DuplicateNotifications(),
    LateNotifications(),
    RefiredAlerts(),
    TruncatedNotifications(),
    AlertStorm(),
    FlappingAlert(),
    NeverResolves(),
    # the object store
    StoreSlowDown(),
    StorePartialDelete(),
    StoreSlowList(),
    StoreStaleList(),
    StoreHold(),
)

FAULTS: Mapping[str, Fault] = MappingProxyType({fault.spec.name: fault for fault in _ALL})
"""Name to fault."""

SPECS: Mapping[str, FaultSpec] = MappingProxyType({name: fault.spec for name, fault in FAULTS.items()})
"""Name to what the catalogue shows."""
