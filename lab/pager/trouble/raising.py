"""Faults that make alerts up: a storm, an alert that flaps, one that fires again after its end."""

from __future__ import annotations

from datetime import datetime

from lab.core.fault_row import FaultRow
from lab.core.incident import Incident
from lab.core.seed import stream
from lab.pager.alerts import Alert, fingerprint
from lab.pager.episodes import ALERT
from lab.pager.store import Store
from lab.pager.trouble.inventions import Inventions, arrivals, firing, storm_alerts
from lab.pager.trouble.rows import FLAPPING, REFIRED, STORM, Bite, Bites, Lasting

RENEW_LAB_MINUTES = 1.0
PARTITIONS = 8


class Raising:
    """What the active rows make up, step by step. Raises JournalError."""

    def __init__(self, store: Store, inventions: Inventions, bites: Bites) -> None:
        self._store = store
        self._inventions = inventions
        self._bites = bites

    def tick(self, now: datetime) -> None:
        """One step of each."""
        for bite in self._bites.of(STORM):
            self._storm(bite, now)
        for bite in self._bites.of(FLAPPING):
            self._flap(bite, now)
        for bite in self._bites.of(REFIRED):
            self._fire_again(bite, now)

    def _renews(self, bite: Bite, now: datetime) -> bool:
        return bite.renews(now, self._store.span(RENEW_LAB_MINUTES))

    def _storm(self, bite: Bite, now: datetime) -> None:
        bite.alerts = bite.alerts or storm_alerts(bite.row)
        begun = arrivals(bite.alerts, bite.since, now, bite.span("spreadSeconds"))
        self._inventions.fire(bite.row, begun if self._renews(bite, now) else begun[bite.fired :])
        bite.fired = len(begun)

    def _flap(self, bite: Bite, now: datetime) -> None:
        alert = self._flapping(bite.row)
        if not flap_fires(bite, now):
            bite.fired = 0
            self._inventions.end(alert, now)
        elif not bite.fired or self._renews(bite, now):
            bite.fired = 1
            self._inventions.fire(bite.row, [firing(alert, now)])

    def _flapping(self, row: FaultRow) -> Alert:
        labels = flapping_labels(row)
        state = self._store.state
        known = state.incidents.get(state.open.get(fingerprint(labels), ""))
        text = f"Orders of partition {labels['partition']} wait too long"
        runbook = "docs/runbooks.md#orderswaitingtoolong"
        annotations = {"summary": text, "description": f"{text}.", "runbook_url": runbook}
        return Alert(labels, dict(known.annotations) if known else annotations)

    def _fire_again(self, bite: Bite, now: datetime) -> None:
        state = self._store.state
        for incident in state.incidents.values():
            if self._is_over(bite, incident):
                begins = (incident.resolved_at or now) + bite.span("afterSeconds")
                generator = state.generators.get(incident.id, "")
                alert = Alert(dict(incident.labels), dict(incident.annotations), generator_url=generator)
                bite.again[incident.id] = Lasting(alert, begins, begins + bite.span("forSeconds"))
        for lasting in bite.again.values():
            if lasting.begins <= now < lasting.ends:
                self._inventions.fire(bite.row, [firing(lasting.alert, lasting.begins)])
            elif lasting.ends <= now and not lasting.over:
                lasting.over = True
                self._inventions.end(lasting.alert, now)

    def _is_over(self, bite: Bite, incident: Incident) -> bool:
        """Whether it has ended as alerts do, while this row bit, and is no alert that a fault made up."""
        return (
            incident.id not in bite.again
            and incident.id not in self._store.state.invented
            and incident.resolved_by == ALERT
            and incident.resolved_at is not None
            and incident.resolved_at >= bite.since
            and bite.hits(incident)
        )


def flapping_labels(row: FaultRow) -> dict[str, str]:
    """Those of the alert that flaps; the seed chooses the partition when nobody did."""
    partition = row.parameters.get("partition")
    if partition is None:
        partition = stream(row.seed, "partition").randrange(PARTITIONS)
    return {"alertname": "OrdersWaitingTooLong", "partition": str(partition), "severity": "critical"}


def flap_fires(bite: Bite, now: datetime) -> bool:
    """Whether the alert that flaps fires at that instant."""
    fires, rests = bite.span("firingSeconds"), bite.span("resolvedSeconds")
    return (now - bite.since) % (fires + rests) < fires
