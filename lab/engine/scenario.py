"""Runs one group of an exercise on one lab and brings back the evidence.

bring up ─► start the automation ─► schedule of faults ─► control changes ─► collect ─► down
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from lab.catalog.canary import default_canary
from lab.core.audit import Mode
from lab.core.canary import CanaryPlan
from lab.core.clock import Clock, SystemClock, TimeScale, rfc3339
from lab.core.exercise import ControlAction, Exercise, Group, Plan, PlannedControl, plan
from lab.core.incident import HistoryEntry, Incident
from lab.core.namespaces import SHOP, Namespaces
from lab.engine.clients import FaultsClient, GatewayClient, PagerClient
from lab.engine.evidence import Evidence, Json, Mark, Series
from lab.engine.settings import LabSettings
from lab.engine.witness import PodWitness
from lab.errors import LabError, NotReadyError
from lab.kube.objects import name_of

AUTOMATION_STARTED = "automation started"
FAULTS_SCHEDULED = "faults scheduled"
QUERIES = (
    "toil_auto_success_rate",
    "toil_remediations_total",
    "shop_queue_oldest_order_age_seconds",
    "shop_worker_partition_info",
    "shop_orders_total",
    "toil_kill_switch_engaged",
    "toil_pages_total",
    "toil_automation_up",
    "toil_automation_restarts_total",
)
_LOG_LINES = 2000


class Lab(Protocol):
    """What a scenario asks of a running lab."""

    @property
    def settings(self) -> LabSettings: ...
    @property
    def kubeconfig(self) -> Path: ...

    @property
    def namespaces(self) -> Namespaces: ...
    @property
    def prometheus_url(self) -> str: ...
    @property
    def pager(self) -> PagerClient: ...
    @property
    def faults(self) -> FaultsClient: ...
    @property
    def gateway(self) -> GatewayClient: ...

    def run_automation(self, workspace: Path, mode: Mode, *, canary: CanaryPlan | None = None) -> Any:
        """Package a workspace and start it as a pod in that mode; a canary by this plan."""

    def stop_automation(self) -> None:
        """End the automation's pod."""

    def set_mode(self, mode: Mode, by: str, reason: str) -> None:
        """Change the mode."""

    def set_kill_switch(self, on: bool, by: str, reason: str) -> None:
        """Engage or release the kill switch."""

    def cluster_log(self, lines: int) -> str:
        """The last lines of the cluster's own log."""

    def down(self) -> None:
        """Remove the lab and all that it left."""


BringUp = Callable[[LabSettings], Lab]
Progress = Callable[[str, str], None]
"""Called with the group and what is being done."""

_GRADER = "lab grade"


class Cancelled(LabError):
    """The run was interrupted; its lab is gone."""


def run_group(
    exercise: Exercise,
    group: Group,
    workspace: Path,
    *,
    seed: int,
    bring_up: BringUp,
    hour_seconds: float = 60.0,
    provider: str = "local",
    name: str = "",
    cancelled: threading.Event | None = None,
    on_progress: Progress = lambda group, step: None,
    clock: Clock | None = None,
    failure_log: Path | None = None,
) -> Evidence:
    """Run one group on a fresh lab. The lab is gone afterwards, whatever happened.

    failure_log: the file that keeps the end of the cluster's log when the lab failed in the middle.

    Raises LabError when the lab could not do its part, ConfigError for a broken workspace.
    """
    planned = plan(exercise, group, seed)
    settings = LabSettings(
        name=name or f"grade-{exercise.id}-{group.id}",
        seed=planned.lab_seed,
        hour_seconds=hour_seconds,
        provider=provider,
        toil="off",
        workers=exercise.lab.workers,
        starts=exercise.lab.starts,
        nodes=exercise.lab.nodes,
    )
    on_progress(group.id, "bringing a lab up")
    lab = bring_up(settings)
    try:
        stop = cancelled or threading.Event()
        run = _Run(lab, exercise, group, planned, seed, stop, on_progress, clock or SystemClock())
        return run.go(workspace)
    except Cancelled:
        raise
    except Exception:
        if failure_log is not None:
            failure_log.write_text(lab.cluster_log(_LOG_LINES))
        raise
    finally:
        lab.down()


class _Run:
    """One group on one lab."""

    def __init__(
        self,
        lab: Lab,
        exercise: Exercise,
        group: Group,
        planned: Plan,
        seed: int,
        cancelled: threading.Event,
        on_progress: Progress,
        clock: Clock,
    ) -> None:
        self._lab = lab
        self._exercise = exercise
        self._group = group
        self._plan = planned
        self._seed = seed
        self._cancelled = cancelled
        self._progress = on_progress
        self._clock = clock
        self._scale: TimeScale = lab.settings.scale
        self._marks: list[Mark] = []

    def go(self, workspace: Path) -> Evidence:
        """Run to the end and collect."""
        witness = PodWitness(self._lab.kubeconfig, self._lab.namespaces.real(SHOP))
        witness.start()
        try:
            return self._go(workspace, witness)
        finally:
            witness.cancel()

    def _go(self, workspace: Path, witness: PodWitness) -> Evidence:
        self._progress(self._group.id, "starting the automation")
        started = self._clock.now()
        package = self._start(workspace)
        self._mark(AUTOMATION_STARTED)
        began = self._clock.monotonic()  # before the answer: a change of control never comes after its fault
        self._lab.faults.schedule(self._plan.lab_seed, self._steps())
        self._mark(FAULTS_SCHEDULED)
        for step in self._plan.control:
            self._wait_until(began + self._scale.real(minutes=step.at))
            self._control(step)
        self._wait_until(began + self._scale.real(minutes=self._group.lab_minutes))
        self._progress(self._group.id, "collecting evidence")
        return self._collect(witness, started, package)

    def _start(self, workspace: Path) -> Any:
        if self._group.mode is not Mode.CANARY:
            return self._lab.run_automation(workspace, self._group.mode)
        plan = self._exercise.canary or default_canary()
        return self._lab.run_automation(workspace, Mode.CANARY, canary=plan)

    def _steps(self) -> list[Json]:
        return [
            {
                "atSeconds": self._scale.real(minutes=fault.at),
                "fault": fault.fault,
                "forSeconds": self._scale.real(minutes=fault.for_minutes),
                "parameters": dict(fault.parameters),
            }
            for fault in self._plan.faults
        ]

    def _control(self, step: PlannedControl) -> None:
        if step.action in (ControlAction.KILL_SWITCH_ON, ControlAction.KILL_SWITCH_OFF):
            self._lab.set_kill_switch(step.action is ControlAction.KILL_SWITCH_ON, _GRADER, step.reason)
        else:
            mode = Mode.LIVE if step.action is ControlAction.MODE_LIVE else Mode.SHADOW
            self._lab.set_mode(mode, _GRADER, step.reason)
        self._mark(step.action.value)

    def _wait_until(self, moment: float) -> None:
        total = self._group.lab_minutes
        while (left := moment - self._clock.monotonic()) > 0:
            if self._cancelled.wait(min(left, 1.0)):
                raise Cancelled(f"group {self._group.id} was interrupted")
            done = self._scale.lab_minutes(self._clock.monotonic() - moment) + total
            self._progress(self._group.id, f"lab minute {max(0, min(done, total)):.0f} of {total:.0f}")

    def _mark(self, what: str) -> None:
        self._marks.append(Mark(rfc3339(self._clock.now()), what))

    def _collect(self, witness: PodWitness, started: datetime, package: Any) -> Evidence:
        ended = self._clock.now()
        lab = self._lab
        return Evidence(
            exercise=self._exercise.id,
            group=self._group.id,
            mode=self._group.mode,
            seed=self._seed,
            hour_seconds=self._scale.hour_seconds,
            started_at=self._started(),
            ended_at=rfc3339(ended),
            drawn=dict(self._plan.drawn),
            marks=tuple(self._marks),
            audit=tuple(lab.gateway.audit()),
            faults=tuple(lab.faults.journal()),
            incidents=tuple(Incident.from_dict(item) for item in lab.pager.incidents("all")),
            history=tuple(HistoryEntry.from_dict(item) for item in lab.pager.history()),
            posts=tuple(lab.pager.status_posts()),
            pods=witness.stop(),
            samples=collect_samples(lab.prometheus_url, started, ended),
            log=automation_log(lab),
            automation=str(getattr(package, "name", "")),
        )

    def _started(self) -> str:
        return next(mark.at for mark in self._marks if mark.what == FAULTS_SCHEDULED)


def collect_samples(url: str, start: datetime, end: datetime) -> tuple[Series, ...]:
    """Every collected query over the run, a second apart. Raises NotReadyError when Prometheus is away."""
    import requests
    from prometheus_api_client import PrometheusConnect
    from prometheus_api_client.exceptions import PrometheusApiClientException

    session = requests.Session()
    session.trust_env = False
    prometheus = PrometheusConnect(url=url, session=session, timeout=10)
    found = []
    try:
        for query in QUERIES:
            for series in prometheus.custom_query_range(query, start, end, "1"):
                points = tuple((float(at), float(value)) for at, value in series["values"])
                found.append(Series(query, dict(series["metric"]), points))
    except (PrometheusApiClientException, requests.RequestException) as error:
        raise NotReadyError(f"Prometheus does not answer queries: {error}") from error
    finally:
        session.close()
    return tuple(found)


def automation_log(lab: Lab) -> str:
    """The last lines that the automation's pod printed; empty when there is no such pod."""
    from lab.engine.kube import Kube

    kube = Kube(lab.kubeconfig, lab.namespaces)
    try:
        pods = kube.pods("automation", "automation")
        return kube.pod_log("automation", name_of(pods[0]), tail_lines=_LOG_LINES) if pods else ""
    except LabError as error:
        return f"(the log could not be read: {error.message})"
    finally:
        kube.close()
