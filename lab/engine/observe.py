"""Evidence of a lab that somebody is working with: what its own parts recorded since the automation began.

A graded run watches pods from outside (witness.py). Here nobody watched, so the lives of the workers are read
from Prometheus: a pod lived while it exported which partition it held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.core.audit import Mode
from lab.core.clock import SystemClock, parse_rfc3339, rfc3339
from lab.core.incident import HistoryEntry, Incident
from lab.engine.effects import HELD, WORKER
from lab.engine.evidence import Evidence, PodLife, Series
from lab.engine.lab import Lab
from lab.engine.scenario import collect_samples
from lab.errors import NotReadyError

YOUNG_LAB_MINUTES = 15.0
"""A fault that is younger and still open has not been missed yet: the page alone takes some minutes."""

GONE_SECONDS = 3.0
"""Without a sample for so long, a pod is gone: three scrapes."""


def observe(lab: Lab) -> Evidence:
    """What happened since the mode was last set. Raises NotReadyError when no automation was ever started."""
    control = lab.control()
    if not control.get("modeSince"):
        raise NotReadyError("no automation was started in this lab", hint="lab run --mode shadow starts one")
    started, ended = parse_rfc3339(control["modeSince"]), SystemClock().now()
    samples = collect_samples(lab.prometheus_url, started, ended)
    records = (record for record in lab.gateway.audit() if parse_rfc3339(record.time) >= started)
    return Evidence(
        exercise="",
        group="observed",
        mode=Mode(control["mode"]),
        seed=lab.settings.seed,
        hour_seconds=lab.settings.hour_seconds,
        started_at=rfc3339(started),
        ended_at=rfc3339(ended),
        audit=tuple(records),
        faults=tuple(entry for entry in lab.faults.journal() if _counts(lab, entry, started, ended)),
        incidents=tuple(Incident.from_dict(item) for item in lab.pager.incidents("all")),
        history=tuple(HistoryEntry.from_dict(item) for item in lab.pager.history()),
        posts=tuple(lab.pager.status_posts()),
        pods=worker_lives(samples, ended.timestamp()),
        samples=samples,
    )


def _counts(lab: Lab, entry: dict[str, object], started: datetime, ended: datetime) -> bool:
    """Could the automation have answered this fault? It began on its watch, and is over or old enough."""
    applied = parse_rfc3339(str(entry["appliedAt"])) if entry.get("appliedAt") else None
    if applied is None or applied < started:
        return False
    age = lab.settings.scale.lab_minutes((ended - applied).total_seconds())
    return bool(entry.get("undoneAt")) or age >= YOUNG_LAB_MINUTES


def worker_lives(samples: tuple[Series, ...], ended: float) -> tuple[PodLife, ...]:
    """The workers' lives as their samples show them."""
    seen: dict[str, list[float]] = {}
    for series in samples:
        if series.query == HELD and "pod" in series.labels:
            moments = [moment for moment, _ in series.points]
            seen.setdefault(str(series.labels["pod"]), []).extend(moments)
    lives = []
    for name, moments in seen.items():
        first, last = min(moments), max(moments)
        gone = last if last < ended - GONE_SECONDS else None
        lives.append(PodLife(name, name, WORKER, first, last, gone))
    return tuple(sorted(lives, key=lambda life: (life.first_seen, life.name)))


Rows = tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Split:
    """A lab's incidents and faults: those of people alone, and those since an automation went live."""

    people: Rows
    automation: Rows | None


def split_by_mode(lab: Lab) -> Split:
    """Divide what the pager and the injector recorded at the moment when the automation went live."""
    incidents, faults = lab.pager.incidents("all"), lab.faults.journal()
    control = lab.control()
    if control.get("mode") != Mode.LIVE or not control.get("modeSince"):
        return Split((incidents, faults), None)
    live = parse_rfc3339(control["modeSince"])

    def since(item: Mapping[str, Any], key: str) -> bool:
        return bool(item.get(key)) and parse_rfc3339(str(item[key])) >= live

    def part(live_already: bool) -> Rows:
        return (
            [item for item in incidents if since(item, "openedAt") is live_already],
            [item for item in faults if since(item, "appliedAt") is live_already],
        )

    return Split(part(False), part(True))
