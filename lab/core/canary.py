"""A canary as plain values: which shares of the targets, in which order, and what is measured meanwhile.

The words and the limits are those of Argo Rollouts' analysis; spans are lab minutes, so that a plan follows
the lab's time scale. In a query `${5m}` stands for five lab minutes as Prometheus writes them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from lab.core.condition import read_condition
from lab.errors import ConfigError, UsageError

STEPS = (10.0, 50.0, 100.0)
MAX_STEPS = 20
MAX_METRICS = 20
LONGEST_LAB_MINUTES = 600.0
OFF = -1
"""A limit that is switched off."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
SPAN = re.compile(r"\$\{(\d+(?:\.\d+)?)([smhd])\}")
"""A span of lab time in a query."""


@dataclass(frozen=True, slots=True)
class CanaryMetric:
    """One thing that is measured while a step lasts.

    query: PromQL that gives at most one series. success, failure: conditions on its value; with one of them
    the other is its opposite, with both whatever is neither is inconclusive. interval, initial_delay,
    max_data_age: lab minutes. count: measurements to take, 0 for no such limit. failure_limit: more failed
    ones than this fail the metric (`OFF`: never). inconclusive_limit: the same for inconclusive ones.
    consecutive_error_limit: more errors in a row than this. consecutive_success_limit: so many successes in a
    row end it well, 0 for no such limit. freshness: PromQL that gives the Unix time of the newest sample;
    empty: made from the selectors of the query.
    """

    name: str
    query: str
    success: str = ""
    failure: str = ""
    interval: float = 5.0
    initial_delay: float = 0.0
    max_data_age: float = 5.0
    count: int = 0
    failure_limit: int = 0
    inconclusive_limit: int = 0
    consecutive_error_limit: int = 4
    consecutive_success_limit: int = 0
    freshness: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The wire form; what is at its default is left out."""
        return {
            key: getattr(self, field)
            for key, (field, _) in _METRIC.items()
            if field in ("name", "query") or getattr(self, field) != _DEFAULT[field]
        }


@dataclass(frozen=True, slots=True)
class CanaryPlan:
    """Steps in percent of the targets, the metrics, and what a step needs to be promoted.

    successes_to_promote: successful measurements of each metric, per step. actions_to_promote: real actions
    on a member of the canary, per step, before measurements count. run_id: names this canary; empty in a plan
    that nobody has started. workspace_digest, automation, by: what was started, and by whom.
    """

    steps: tuple[float, ...] = STEPS
    analysis: tuple[CanaryMetric, ...] = ()
    successes_to_promote: int = 3
    actions_to_promote: int = 0
    run_id: str = ""
    workspace_digest: str = ""
    automation: str = ""
    by: str = ""

    def metrics(self) -> tuple[CanaryMetric, ...]:
        """The metrics; one that has no end of its own ends after the plan's successes in a row."""
        return tuple(
            metric
            if metric.count or metric.consecutive_success_limit
            else replace(metric, consecutive_success_limit=self.successes_to_promote)
            for metric in self.analysis
        )

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "runId": self.run_id,
            "workspaceDigest": self.workspace_digest,
            "automation": self.automation,
            "by": self.by,
            "steps": list(self.steps),
            "successesToPromote": self.successes_to_promote,
            "actionsToPromote": self.actions_to_promote,
            "analysis": [metric.as_dict() for metric in self.analysis],
        }


def read_plan(data: Any, what: str = "the canary plan") -> CanaryPlan:
    """Understand the wire form. Raises ConfigError naming every problem."""
    problems: list[str] = []
    if not isinstance(data, Mapping):
        raise ConfigError(f"{what} is not valid", ["it is not an object with steps and analysis"], hint=_HINT)
    values = _read(data, _PLAN, "", problems)
    values["steps"] = _steps(data.get("steps", STEPS), problems)
    values["analysis"] = tuple(_analysis(data.get("analysis"), problems))
    if problems:
        raise ConfigError(f"{what} is not valid", problems, hint=_HINT)
    return CanaryPlan(**values)


def read_steps(text: str) -> tuple[float, ...]:
    """Steps as a person writes them: `10,50,100`. Raises UsageError."""
    problems: list[str] = []
    try:
        written: list[Any] = [float(part.strip().removesuffix("%")) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{text!r} is not a list of percentages", hint="write 10,50,100") from None
    steps = _steps(written, problems)
    if problems:
        raise UsageError("; ".join(problems), hint="write 10,50,100")
    return steps


def percent_text(percent: float) -> str:
    """A percentage as the control ConfigMap has it: `10`, `12.5`."""
    return f"{percent:g}"


_HINT = "docs/canary.md lists the keys"
_Reader = Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 2000:
        raise ValueError(f"is a text of up to 2000 characters, not {str(value)[:40]!r}")
    return value


def _needed(value: Any) -> str:
    if not _text(value).strip():
        raise ValueError("is empty")
    return str(value)


def _identity(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"is up to 40 small letters, digits and hyphens, not {str(value)[:40]!r}")
    return value


def _condition(value: Any) -> str:
    try:
        return read_condition(value).text
    except UsageError as error:
        raise ValueError(f"is no condition: {error.message}; {error.hint}") from error


def _whole(least: int, most: int = 1000) -> _Reader:
    def read(value: Any) -> int:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or value != int(value):
            raise ValueError(f"is a whole number, not {str(value)[:40]!r}")
        if not least <= value <= most:
            raise ValueError(f"is between {least} and {most}, not {value:g}")
        return int(value)

    return read


def _minutes(least: float) -> _Reader:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"is a number of lab minutes, not {str(value)[:40]!r}")
        if not least <= value <= LONGEST_LAB_MINUTES:
            raise ValueError(f"is between {least:g} and {LONGEST_LAB_MINUTES:g} lab minutes, not {value:g}")
        return float(value)

    return read


_PLAN: dict[str, tuple[str, _Reader]] = {
    "successesToPromote": ("successes_to_promote", _whole(1)),
    "actionsToPromote": ("actions_to_promote", _whole(0)),
    "runId": ("run_id", _text),
    "workspaceDigest": ("workspace_digest", _text),
    "automation": ("automation", _text),
    "by": ("by", _text),
}
_METRIC: dict[str, tuple[str, _Reader]] = {
    "name": ("name", _identity),
    "query": ("query", _needed),
    "successCondition": ("success", _condition),
    "failureCondition": ("failure", _condition),
    "interval": ("interval", _minutes(0.1)),
    "initialDelay": ("initial_delay", _minutes(0)),
    "maxDataAge": ("max_data_age", _minutes(0.1)),
    "count": ("count", _whole(0)),
    "failureLimit": ("failure_limit", _whole(OFF)),
    "inconclusiveLimit": ("inconclusive_limit", _whole(OFF)),
    "consecutiveErrorLimit": ("consecutive_error_limit", _whole(0)),
    "consecutiveSuccessLimit": ("consecutive_success_limit", _whole(0)),
    "freshness": ("freshness", _text),
}
_DEFAULT = {name: field.default for name, field in CanaryMetric.__dataclass_fields__.items()}


def _read(
    data: Mapping[str, Any], keys: Mapping[str, tuple[str, _Reader]], where: str, problems: list[str]
) -> dict[str, Any]:
    """Values by field name; what is unknown or wrong goes to the problems."""
    values: dict[str, Any] = {}
    others = ("steps", "analysis") if keys is _PLAN else ()
    problems += [
        f"{where}{key}: there is no such key" for key in data if key not in keys and key not in others
    ]
    for key, (field, reader) in keys.items():
        if data.get(key) is None:
            continue
        try:
            values[field] = reader(data[key])
        except (ValueError, OverflowError) as error:
            problems.append(f"{where}{key} {error}")
    return values


def _steps(value: Any, problems: list[str]) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= MAX_STEPS:
        problems.append(f"steps: a list of 1 to {MAX_STEPS} percentages")
        return ()
    for step in value:
        if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step <= 100:
            problems.append(f"steps: a percentage is above 0 and at most 100, not {str(step)[:40]}")
            return ()
    if any(later <= earlier for earlier, later in pairwise(value)):
        problems.append(f"steps: each is larger than the one before, not {list(value)}")
    return tuple(float(step) for step in value)


def _analysis(value: Any, problems: list[str]) -> Iterator[CanaryMetric]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_METRICS:
        problems.append(f"analysis: a list of 1 to {MAX_METRICS} metrics; without one nothing is judged")
        return
    for number, item in enumerate(value):
        where = f"analysis[{number}]."
        if not isinstance(item, Mapping):
            problems.append(f"analysis[{number}]: a metric is an object with name, query and a condition")
            continue
        before = len(problems)
        values = _read(item, _METRIC, where, problems)
        problems += [f"{where}{key} is missing" for key in ("name", "query") if item.get(key) is None]
        if item.get("successCondition") is None and item.get("failureCondition") is None:
            problems.append(f"{where}successCondition or failureCondition is missing; one of them at least")
        if len(problems) == before:
            yield CanaryMetric(**values)
    names = Counter(str(item.get("name")) for item in value if isinstance(item, Mapping))
    problems += [f"analysis: {name} occurs {count} times" for name, count in names.items() if count > 1]
