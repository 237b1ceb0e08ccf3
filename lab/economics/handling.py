"""How incidents were handled, read from the pager's incidents and the fault journal. Lab minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import JournalEntry
from lab.core.incident import NO_ACTION, Action, Incident
from lab.economics.statistics import Interval, bootstrap, fmean, median, median_interval, percentile

Rows = Sequence[Mapping[str, Any]]
HUMAN, AUTOMATION, NOBODY = "human", "automation", "nobody"
_GOOD = "success"


@dataclass(frozen=True, slots=True)
class Handling:
    """One incident. handled_by: who made the last successful action. The minutes are lab minutes, None when
    it did not come to that. hands_on_minutes: what it took of people's time, 0 when nobody was busy."""

    incident: str
    alertname: str
    handled_by: str
    acknowledge_minutes: float | None
    resolve_minutes: float | None
    hands_on_minutes: float
    attempts: int
    failures: int
    escalated: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """A run in figures. `incidents` counts all, the resolve figures those that were resolved.

    occurrences: how often the toil came up (see `people_minutes`). hands_on_*: minutes of people's time per
    occurrence, hands_on_total the sum. faults: those that were cured. recovery_*: minutes from the moment a
    fault began to bite until it was gone, whoever noticed. A figure with nothing to measure is None.
    """

    incidents: int
    resolved: int
    by_human: int
    by_automation: int
    escalated: int
    occurrences: int
    resolve_median: float | None
    resolve_p95: float | None
    resolve_interval: Interval | None
    hands_on_median: float | None
    hands_on_mean: float | None
    hands_on_interval: Interval | None
    hands_on_total: float
    faults: int
    recovery_median: float | None
    recovery_p95: float | None
    recovery_interval: Interval | None


def is_human(by: str) -> bool:
    """Does an actor's name say that it is a person? People are `human:<name>`."""
    return by == HUMAN or by.startswith(f"{HUMAN}:")


def handlings(incidents: Rows, scale: TimeScale) -> tuple[Handling, ...]:
    """Read the pager's incidents. Raises KeyError or ValueError when one is not in the wire form."""
    return tuple(_handling(Incident.from_dict(incident), scale) for incident in incidents)


def recovery_minutes(journal: Rows, scale: TimeScale) -> tuple[float, ...]:
    """For every real fault (no decoy) that bit and is over: how long it lasted, in lab minutes.

    A fault whose lease ran out was cured by nobody, and is left out.
    """
    found = []
    for entry in map(JournalEntry.from_dict, journal):
        if entry.decoy or entry.applied_at is None or entry.undone_at is None or entry.undone_by == "lease":
            continue
        found.append(scale.lab_minutes((entry.undone_at - entry.applied_at).total_seconds()))
    return tuple(found)


def people_minutes(incidents: Rows, journal: Rows, scale: TimeScale) -> tuple[float, ...]:
    """For every time the toil came up: what it took of people's time, in lab minutes.

    The toil comes up with each real fault, paged or not: an automation that is quicker than the page leaves
    no incident. An incident counts for the latest fault of its partition; what belongs to none (a page for a
    look-alike, a burnt budget) is shared out evenly. Without any fault each incident is an occurrence.
    """
    pages = [Incident.from_dict(incident) for incident in incidents]
    bites = [e for e in map(JournalEntry.from_dict, journal) if not e.decoy and e.applied_at is not None]
    if not bites:
        return tuple(_hands_on(page, scale) for page in pages)
    minutes, common = [0.0] * len(bites), 0.0
    for page in pages:
        index = _cause(page, bites)
        if index is None:
            common += _hands_on(page, scale)
        else:
            minutes[index] += _hands_on(page, scale)
    return tuple(each + common / len(bites) for each in minutes)


def measure(
    incidents: Rows,
    journal: Rows,
    scale: TimeScale,
    seed: int = 1,
) -> Measured:
    """The figures of a run. `seed` makes the intervals repeatable."""
    handled = handlings(incidents, scale)
    resolve = [h.resolve_minutes for h in handled if h.resolve_minutes is not None]
    hands_on = people_minutes(incidents, journal, scale)
    recovery = recovery_minutes(journal, scale)
    return Measured(
        incidents=len(handled),
        resolved=len(resolve),
        by_human=sum(h.handled_by == HUMAN for h in handled),
        by_automation=sum(h.handled_by == AUTOMATION for h in handled),
        escalated=sum(h.escalated for h in handled),
        occurrences=len(hands_on),
        resolve_median=median(resolve) if resolve else None,
        resolve_p95=percentile(resolve, 0.95) if resolve else None,
        resolve_interval=median_interval(resolve),
        hands_on_median=median(hands_on) if hands_on else None,
        hands_on_mean=fmean(hands_on) if hands_on else None,
        hands_on_interval=bootstrap(hands_on, seed, fmean),
        hands_on_total=sum(hands_on),
        faults=len(recovery),
        recovery_median=median(recovery) if recovery else None,
        recovery_p95=percentile(recovery, 0.95) if recovery else None,
        recovery_interval=median_interval(recovery),
    )


def _handling(incident: Incident, scale: TimeScale) -> Handling:
    acted = [action for action in incident.actions if action.action != NO_ACTION]
    acknowledge, resolve = incident.seconds_to_acknowledge, incident.seconds_to_resolve
    return Handling(
        incident=incident.id,
        alertname=incident.alertname,
        handled_by=_handled_by(acted),
        acknowledge_minutes=None if acknowledge is None else scale.lab_minutes(acknowledge),
        resolve_minutes=None if resolve is None else scale.lab_minutes(resolve),
        hands_on_minutes=_hands_on(incident, scale),
        attempts=len(acted),
        failures=sum(action.outcome not in ("", _GOOD) for action in acted),
        escalated=bool(incident.escalations) or incident.escalated_at is not None,
    )


def _hands_on(incident: Incident, scale: TimeScale) -> float:
    busy = (max(action.seconds, 0.0) for action in incident.actions if is_human(action.by))
    return scale.lab_minutes(sum(busy))


def _cause(page: Incident, bites: Sequence[JournalEntry]) -> int | None:
    """The place of the latest fault of the page's partition that began before it."""
    best: tuple[datetime, int] | None = None
    for index, bite in enumerate(bites):
        began = bite.applied_at
        same = str(bite.target.partition) == page.labels.get("partition")
        if same and began is not None and began <= page.opened_at and (best is None or began > best[0]):
            best = (began, index)
    return best[1] if best else None


def _handled_by(acted: list[Action]) -> str:
    for action in reversed(acted):
        if action.outcome == _GOOD:
            return HUMAN if is_human(action.by) else AUTOMATION
    return NOBODY
