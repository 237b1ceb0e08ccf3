"""Multi-window, multi-burn-rate rules of one objective, as Prometheus rule groups."""

from __future__ import annotations

from typing import Any

from lab.core.clock import TimeScale
from lab.slo.objectives import Objective
from lab.slo.windows import (
    BURN_WINDOWS,
    SCRAPE_SECONDS,
    BurnWindow,
    lab_duration,
    prometheus_duration,
    window_seconds,
)

Json = dict[str, Any]
_EVALUATIONS_PER_WINDOW = 12
_SLOWEST_EVALUATION = 15.0


def error_ratio(objective: Objective, seconds: float) -> str:
    """PromQL: the share of bad events over the last real seconds. No traffic gives no sample, not a zero."""
    window = prometheus_duration(seconds)
    good = f"sum(rate({objective.good}[{window}]))"
    total = f"sum(rate({objective.total}[{window}]))"
    return f"1 - {good} / ({total} > 0)"


def ratio_name(hours: float) -> str:
    """The recorded error ratio over a window of lab hours, named as sloth names it."""
    return f"slo:sli_error:ratio_rate{lab_duration(hours)}"


def burn_groups(objective: Objective, scale: TimeScale, runbook: str) -> list[Json]:
    """The rule groups of an objective: facts, and recordings with their alert per pair of windows.

    A pair is evaluated twelve times in its short window, at most once a scrape: the long pairs read
    thousands of samples and need no haste.
    """
    return [
        _facts(objective),
        *(_pair(objective, window, scale, runbook) for window in BURN_WINDOWS),
    ]


def _facts(objective: Objective) -> Json:
    labels = {"slo": objective.name}
    period = ratio_name(BURN_WINDOWS[-1].long_hours)
    fastest = ratio_name(BURN_WINDOWS[0].short_hours)
    selector = f'{{slo="{objective.name}"}}'
    return {
        "name": f"slo:{objective.name}:facts",
        "rules": [
            _record("slo:objective:ratio", f"vector({objective.target})", labels),
            _record("slo:error_budget:ratio", f"vector({objective.budget})", labels),
            _record("slo:current_burn_rate:ratio", f"{fastest}{selector} / {objective.budget}", labels),
            _record("slo:longest_burn_rate:ratio", f"{period}{selector} / {objective.budget}", labels),
        ],
    }


def _pair(objective: Objective, window: BurnWindow, scale: TimeScale, runbook: str) -> Json:
    short = window_seconds(window.short_hours, scale)
    interval = min(max(short / _EVALUATIONS_PER_WINDOW, SCRAPE_SECONDS), _SLOWEST_EVALUATION)
    labels = {"slo": objective.name}
    recorded = [
        _record(ratio_name(hours), error_ratio(objective, window_seconds(hours, scale)), labels)
        for hours in _own_windows(window)
    ]
    return {
        "name": f"slo:{objective.name}:{window.long_name}",
        "interval": prometheus_duration(interval),
        "rules": [*recorded, _alert(objective, window, short, runbook)],
    }


def _own_windows(window: BurnWindow) -> tuple[float, ...]:
    """The windows that this pair records; one that a pair before it has (6h) is recorded there."""
    before = BURN_WINDOWS[: BURN_WINDOWS.index(window)]
    taken = {hours for pair in before for hours in (pair.short_hours, pair.long_hours)}
    return tuple(hours for hours in (window.short_hours, window.long_hours) if hours not in taken)


def _alert(objective: Objective, window: BurnWindow, short_seconds: float, runbook: str) -> Json:
    threshold = round(window.factor * objective.budget, 9)
    selector = f'{{slo="{objective.name}"}}'
    return {
        "alert": "ErrorBudgetBurn",
        "expr": (
            f"{ratio_name(window.long_hours)}{selector} > {threshold}"
            f" and {ratio_name(window.short_hours)}{selector} > {threshold}"
        ),
        "for": prometheus_duration(max(short_seconds / 2, 2 * SCRAPE_SECONDS)),
        "labels": {
            "severity": window.severity,
            "slo": objective.name,
            "short": window.short_name,
            "long": window.long_name,
        },
        "annotations": {
            "summary": f"The error budget of {objective.name} burns {window.factor:g} times too fast",
            "description": (
                f"{objective.meaning} Over the last {window.long_name} of lab time"
                " {{ $value | humanizePercentage }} of the events were bad;"
                f" {threshold:.2%} is the limit of this alert."
            ),
            "runbook_url": runbook,
        },
    }


def _record(name: str, expression: str, labels: dict[str, str]) -> Json:
    return {"record": name, "expr": expression, "labels": labels}
