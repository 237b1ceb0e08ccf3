"""Figures of a run that several reports show: what the automation did, and how well it went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.core.audit import Decision, Mode
from lab.core.incident import NO_ACTION
from lab.economics.handling import is_human
from lab.economics.statistics import Interval, wilson
from lab.reports.journal import Episode

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Activity:
    """Requests by what became of them, from the audit log; remediations as entered at the pager.

    success: share of successful remediations with its Wilson interval; None when there were none.
    """

    reads: int
    carried_out: int
    shadowed: int
    refused: int
    failed: int
    attempts: int
    successes: int
    success: float | None
    interval: Interval | None


def activity(episodes: Iterable[Episode]) -> Activity:
    """Count over all episodes."""
    counts = dict.fromkeys(("reads", "carried_out", "shadowed", "refused", "failed"), 0)
    attempts = successes = 0
    for episode in episodes:
        for record in episode.audit:
            counts[fate(record)] += 1
        for action in _remediations(episode):
            attempts += 1
            successes += action.get("outcome") == "success"
    share = successes / attempts if attempts else None
    return Activity(
        **counts,
        attempts=attempts,
        successes=successes,
        success=share,
        interval=wilson(successes, attempts),
    )


def fate(record: Json) -> str:
    """What became of a request: reads, refused, failed, shadowed or carried_out."""
    if record.get("decision") == Decision.REFUSED:
        return "refused"
    if not record.get("mutating"):
        return "reads"
    if not 100 <= int(record.get("code") or 0) < 400:
        return "failed"
    return "shadowed" if record.get("dry_run") else "carried_out"


def _remediations(episode: Episode) -> list[Json]:
    if episode.mode != Mode.LIVE:
        return []
    return [
        action
        for incident in episode.incidents
        for action in incident.get("actions") or ()
        if action.get("action") != NO_ACTION and not is_human(str(action.get("by", "")))
    ]


def described(record: Json) -> str:
    """A request in a few words: `delete pods/worker-1 in shop`."""
    kind = str(record.get("resource") or "")
    if record.get("subresource"):
        kind += f"/{record['subresource']}"
    name = record.get("name")
    where = f" in {record['namespace']}" if record.get("namespace") else ""
    return f"{record.get('verb')} {kind}{f' {name}' if name else ''}{where}"
