"""Faults in what receivers are told: notifications that are late, doubled, or leave alerts out.

A late notification is what was true a while ago, not an entry of a queue: a restart loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lab.core.incident import Incident
from lab.pager.store import Store
from lab.pager.trouble.rows import DUPLICATE, LATE, TRUNCATED, Bite, Bites

FIRING = "firing"
RESOLVED = "resolved"


class Telling:
    """Between an incident and the webhooks."""

    def __init__(self, store: Store, bites: Bites) -> None:
        self._store = store
        self._bites = bites

    def seen(self, incident: Incident, last: str | None) -> str | None:
        """The status that a receiver is to know of; None: it does not know of the incident yet.

        last: what it was told last. Nobody is told that time went back.
        """
        present = FIRING if incident.is_open else RESOLVED
        delays = [b.span("delaySeconds") for b in self._late() if b.matches(incident.alertname)]
        if not delays or (last == RESOLVED and present == RESOLVED):
            return present
        instant = self._store.clock.now() - max(delays)
        if incident.opened_at > instant:
            return None
        return RESOLVED if incident.resolved_at and incident.resolved_at <= instant else FIRING

    def body(
        self,
        incident: Incident,
        status: str,
        others: Iterable[Incident],
        one: Callable[[Incident, str], dict[str, Any]],
    ) -> dict[str, Any]:
        """The notification about an incident. others: the open ones of which this receiver hears as well."""
        bite = next((b for b in self._bites.of(TRUNCATED) if b.matches(incident.alertname)), None)
        if bite is None:
            return one(incident, status)
        group = {other.id: other for other in others if other.alertname == incident.alertname}
        group[incident.id] = incident
        members = sorted(group.values(), key=lambda member: (member.starts_at, member.id))
        bodies = [one(m, status if m.id == incident.id else FIRING) for m in members]
        return truncated(incident.alertname, bodies, int(bite.row.parameters["maxAlerts"]))

    def copies(self, incident: Incident) -> list[tuple[str, float]]:
        """The further copies of a notification that was delivered: the row, and after how many seconds."""
        found = []
        for bite in self._bites.of(DUPLICATE):
            if bite.hits(incident):
                after = bite.span("afterSeconds").total_seconds()
                times = int(bite.row.parameters["copies"])
                found += [(bite.row.id, after * (number + 1)) for number in range(times)]
        return found

    def tick(self) -> None:
        """What is late becomes due by the mere passing of time: let the deliveries look again."""
        if self._late():
            self._store.wake()

    def _late(self) -> list[Bite]:
        return [bite for bite in self._bites.of(LATE) if bite.row.parameters["hop"] == "webhooks"]


def truncated(alertname: str, bodies: Sequence[dict[str, Any]], limit: int) -> dict[str, Any]:
    """One notification for a group of alerts, with the first of them only, as `max_alerts` makes it."""
    alerts = [alert for body in bodies for alert in body["alerts"]]
    shown = alerts[:limit]
    return {
        **bodies[0],
        "groupKey": f'{{}}:{{alertname="{alertname}"}}',
        "groupLabels": {"alertname": alertname},
        "commonLabels": _common([alert["labels"] for alert in shown]),
        "commonAnnotations": _common([alert["annotations"] for alert in shown]),
        "status": FIRING if any(alert["status"] == FIRING for alert in alerts) else RESOLVED,
        "alerts": shown,
        "truncatedAlerts": len(alerts) - len(shown),
    }


def _common(tables: Sequence[dict[str, str]]) -> dict[str, str]:
    first, *rest = tables
    return {key: value for key, value in first.items() if all(t.get(key) == value for t in rest)}
