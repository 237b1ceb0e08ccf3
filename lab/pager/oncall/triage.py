"""Which incident is the human's, and which of those comes first. Pure functions.

shadow, canary, kill switch on, no automation runs    every page
live, and an automation runs                          pages escalated to a human, and those open for long
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from lab.core.clock import TimeScale
from lab.core.incident import Incident
from lab.pager.episodes import QUIET_SEVERITIES

WAITING = "OrdersWaitingTooLong"
PATIENCE_LAB_MINUTES = 15.0
"""In live mode an incident older than this is paged to the human even if nobody escalated it."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is on duty. automation_works: mode live, kill switch off, and an automation is there."""

    automation_works: bool

    @classmethod
    def of(cls, control: Mapping[str, str] | None, automation_present: bool) -> Duty:
        """From ConfigMap automation-control (None: it could not be read, so the human does all)."""
        live = (control or {}).get("mode") == "live" and (control or {}).get("killSwitch") == "off"
        return cls(live and automation_present)


def called_at(incident: Incident, duty: Duty, scale: TimeScale) -> datetime | None:
    """When the human is called to this incident; None when it is not a page, or over."""
    if not incident.is_open or incident.severity in QUIET_SEVERITIES:
        return None
    if not duty.automation_works:
        return incident.opened_at
    patience = timedelta(seconds=scale.real(minutes=PATIENCE_LAB_MINUTES))
    late = incident.opened_at + patience
    return min(incident.escalated_at, late) if incident.escalated_at else late


def next_incident(
    incidents: Iterable[Incident],
    duty: Duty,
    scale: TimeScale,
    now: datetime,
    not_before: Mapping[str, datetime],
) -> tuple[Incident, datetime] | None:
    """The incident to turn to, and when the human was called to it.

    Symptoms come before burn rates and the rest, then the oldest call. not_before: incident id to the moment
    before which the human does not look at it again.
    """
    found = []
    for incident in incidents:
        called = called_at(incident, duty, scale)
        if called is None or called > now or not_before.get(incident.id, now) > now:
            continue
        found.append((incident, called))
    return min(found, key=lambda pair: (pair[0].alertname != WAITING, pair[1]), default=None)
