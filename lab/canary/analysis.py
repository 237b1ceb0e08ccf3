"""Measurements to a verdict, in Argo Rollouts' terms; pure functions.

    sample ──judge──► measurement ──record──► result of a metric ──metric_phase──► run_phase: the worst

A limit is exceeded when the count is strictly greater: failureLimit 3 fails at the fourth failure. Two things
are stricter than upstream (analysis/analysis.go of argoproj/argo-rollouts): no data, NaN and data older than
the metric allows are Inconclusive, never a success; and a run that ends early is what its finished metrics
are, so with none it is Inconclusive (upstream: Successful).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from lab.core.canary import OFF, CanaryMetric
from lab.core.clock import TimeScale, parse_rfc3339, rfc3339
from lab.core.condition import read_condition
from lab.slo.windows import SCRAPE_SECONDS

KEPT = 10
"""Measurements of a metric that are kept, as upstream keeps them."""

ERROR_RETRY_LAB_MINUTES = 2.0
"""After an error the next measurement comes so soon, if the metric's interval is not shorter."""

FRESHEST_SECONDS = 3 * SCRAPE_SECONDS
"""No bound on the data's age is shorter than this, however fast lab time passes: a missed scrape or two."""


class Phase(StrEnum):
    """Of a measurement, a metric or a run. A measurement is never Running."""

    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"
    FAILED = "Failed"


_WORSE = (Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a query gave. value None: no series. age: of the newest data behind it, in real seconds; None when
    that is not known. error: why nothing could be measured."""

    value: float | None = None
    age: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One look at a metric."""

    at: datetime
    phase: Phase
    value: float | None = None
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        number = self.value if self.value is not None and math.isfinite(self.value) else None
        return {"at": rfc3339(self.at), "phase": self.phase.value, "value": number, "message": self.message}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Measurement:
        """Read the JSON form."""
        return cls(
            parse_rfc3339(data["at"]), Phase(data["phase"]), data.get("value"), data.get("message") or ""
        )


@dataclass(frozen=True, slots=True)
class MetricResult:
    """Counts of a metric's measurements in one run, and the last of them. count leaves errors out."""

    count: int = 0
    successful: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    consecutive_error: int = 0
    consecutive_success: int = 0
    measurements: tuple[Measurement, ...] = field(default=())

    @property
    def last(self) -> Measurement | None:
        """The newest measurement."""
        return self.measurements[-1] if self.measurements else None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        return counts | {"measurements": [measurement.as_dict() for measurement in self.measurements]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MetricResult:
        """Read the JSON form."""
        counts = {name: int(data[name]) for name in _COUNTS}
        return cls(**counts, measurements=tuple(Measurement.from_dict(m) for m in data["measurements"]))


_COUNTS = (
    "count",
    "successful",
    "failed",
    "inconclusive",
    "error",
    "consecutive_error",
    "consecutive_success",
)


def judge(metric: CanaryMetric, sample: Sample, at: datetime, scale: TimeScale) -> Measurement:
    """What a sample means to a metric."""
    value = sample.value
    if sample.error:
        return Measurement(at, Phase.ERROR, None, sample.error)
    if value is None:
        return Measurement(at, Phase.INCONCLUSIVE, None, "there is no data")
    if math.isnan(value):
        return Measurement(at, Phase.INCONCLUSIVE, None, "the value is not a number")
    if sample.age is None:
        return Measurement(at, Phase.INCONCLUSIVE, value, "how old the data are is not known")
    oldest = max(scale.real(minutes=metric.max_data_age), FRESHEST_SECONDS)
    if sample.age > oldest:
        message = f"the newest data are {sample.age:.1f} s old, {oldest:g} s is the limit"
        return Measurement(at, Phase.INCONCLUSIVE, value, message)
    good = read_condition(metric.success).holds(value) if metric.success else None
    bad = read_condition(metric.failure).holds(value) if metric.failure else not good
    if good is None:
        good = not bad
    if bad:
        wanted = metric.success or f"not {metric.failure}"
        return Measurement(at, Phase.FAILED, value, f"{value:.4g} is not {wanted}")
    if not good:
        message = f"{value:.4g} is neither {metric.success} nor {metric.failure}"
        return Measurement(at, Phase.INCONCLUSIVE, value, message)
    return Measurement(at, Phase.SUCCESSFUL, value)


def record(result: MetricResult, measurement: Measurement) -> MetricResult:
    """The result with one more measurement."""
    phase = measurement.phase
    return replace(
        result,
        count=result.count + (phase is not Phase.ERROR),
        successful=result.successful + (phase is Phase.SUCCESSFUL),
        failed=result.failed + (phase is Phase.FAILED),
        inconclusive=result.inconclusive + (phase is Phase.INCONCLUSIVE),
        error=result.error + (phase is Phase.ERROR),
        consecutive_error=result.consecutive_error + 1 if phase is Phase.ERROR else 0,
        consecutive_success=result.consecutive_success + 1 if phase is Phase.SUCCESSFUL else 0,
        measurements=(*result.measurements, measurement)[-KEPT:],
    )


def metric_phase(metric: CanaryMetric, result: MetricResult) -> tuple[Phase, str]:
    """Where a metric stands, and why when it ended other than well."""
    limit = metric.failure_limit
    if limit != OFF and result.failed > limit:
        return Phase.FAILED, f"failed {result.failed} > failureLimit {limit}"
    if result.consecutive_error > metric.consecutive_error_limit:
        limit = metric.consecutive_error_limit
        return Phase.ERROR, f"errors in a row {result.consecutive_error} > consecutiveErrorLimit {limit}"
    limit = metric.inconclusive_limit
    if limit != OFF and result.inconclusive > limit:
        return Phase.INCONCLUSIVE, f"inconclusive {result.inconclusive} > inconclusiveLimit {limit}"
    wanted = metric.consecutive_success_limit
    if wanted and result.consecutive_success >= wanted:
        return Phase.SUCCESSFUL, ""
    if metric.count and result.count >= metric.count:
        if not wanted:
            return Phase.SUCCESSFUL, ""
        return (Phase.FAILED if metric.failure_limit == OFF else Phase.INCONCLUSIVE), (
            f"{result.count} measurements without {wanted} successes in a row"
        )
    return Phase.RUNNING, ""


def run_phase(
    metrics: Sequence[CanaryMetric], results: Mapping[str, MetricResult], *, stopped: bool = False
) -> tuple[Phase, str]:
    """Where a run stands: its worst metric as soon as one ended badly, else Running until all have ended.

    stopped: the run is ended early. Then it is the worst of what has ended, Inconclusive when nothing has.
    """
    found = [(metric, *metric_phase(metric, results.get(metric.name, MetricResult()))) for metric in metrics]
    ended = [entry for entry in found if entry[1] is not Phase.RUNNING]
    worst = max(ended, key=lambda entry: _WORSE.index(entry[1]), default=None)
    if worst is not None and worst[1] is not Phase.SUCCESSFUL:
        return worst[1], _why(worst[0], worst[2], results[worst[0].name])
    if len(ended) == len(metrics) and metrics:
        return Phase.SUCCESSFUL, ""
    if stopped:
        running = len(metrics) - len(ended)
        return Phase.INCONCLUSIVE, f"stopped while {running} of {len(metrics)} metrics had no end"
    return Phase.RUNNING, ""


def _why(metric: CanaryMetric, reason: str, result: MetricResult) -> str:
    last = result.last
    return f"{metric.name}: {reason}" + (f" ({last.message})" if last and last.message else "")


def next_due(
    metric: CanaryMetric, result: MetricResult, started: datetime, scale: TimeScale
) -> datetime | None:
    """When the metric is to be measured next; None when it has ended."""
    if metric_phase(metric, result)[0] is not Phase.RUNNING:
        return None
    if result.last is None:
        return started + timedelta(seconds=scale.real(minutes=metric.initial_delay))
    minutes = metric.interval
    if result.last.phase is Phase.ERROR:
        minutes = min(minutes, ERROR_RETRY_LAB_MINUTES)
    return result.last.at + timedelta(seconds=max(scale.real(minutes=minutes), SCRAPE_SECONDS))
