"""Alerts that a fault makes up: a storm, a flapping alert, one that fires again after its end.

While the fault bites, such an alert looks like any other. When the fault is over, its incidents are resolved
by `fault:<journal entry>`, and the history says of each that it was made up. Which they are is kept in the
pager's journal, so that a restart does not forget it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from lab.core.fault_row import FaultRow
from lab.core.seed import stream
from lab.pager.alerts import Alert
from lab.pager.episodes import Episodes
from lab.pager.incidents import Incidents
from lab.pager.state import invented_record
from lab.pager.store import Store, WrongState

MADE_UP = "the fault made this alert up"
PROMETHEUS = "http://prometheus.lab-system.svc:9090"

_SERVICES = (
    "accounts",
    "billing",
    "cart",
    "catalogue",
    "checkout",
    "delivery",
    "identity",
    "inventory",
    "mail",
    "pricing",
    "recommendation",
    "returns",
    "reviews",
    "search",
    "tax",
)
_SYMPTOMS = (
    ("HighRequestLatency", "critical", "{service}: one request in a hundred takes longer than {n}00 ms"),
    ("HighErrorRate", "critical", "{service}: {n} % of the requests fail"),
    ("ServiceUnreachable", "critical", "{service}: {n} of its pods do not answer"),
    ("QueueGrowing", "critical", "{service}: {n}000 messages wait"),
    ("MemoryNearLimit", "warning", "{service}: a container uses 9{n} % of its memory limit"),
    ("CertificateExpiresSoon", "warning", "{service}: the certificate expires in {n} days"),
)
log = logging.getLogger("lab.pager.inventions")


def author(row: str) -> str:
    """Who resolves what a fault made up."""
    return f"fault:{row}"


def storm_alerts(row: FaultRow) -> list[Alert]:
    """The alerts of a storm: the same for the same row, each with labels that no other has."""
    chance = stream(row.seed, "storm")
    alerts = []
    for _ in range(int(row.parameters["count"])):
        service = chance.choice(_SERVICES)
        name, severity, summary = chance.choice(_SYMPTOMS)
        labels = {
            "alertname": name,
            "namespace": "retail",
            "pod": f"{service}-{chance.randrange(16**8):08x}-{chance.randrange(16**4):04x}",
            "service": service,
            "severity": severity,
        }
        text = summary.format(service=service, n=chance.randrange(2, 9))
        annotations = {"summary": text, "description": f"{text}."}
        alerts.append(Alert(labels, annotations, generator_url=f"{PROMETHEUS}/graph?g0.expr={name}"))
    return alerts


class Inventions:
    """What the pager hears from faults. Raises JournalError, as every change of the pager does."""

    def __init__(self, store: Store, episodes: Episodes, incidents: Incidents) -> None:
        self._store = store
        self._episodes = episodes
        self._incidents = incidents
        self._told_full = False

    def fire(self, row: FaultRow, alerts: Sequence[Alert]) -> None:
        """Let these fire, or go on firing for a lease. An incident that opens by it is marked as made up."""
        for alert in alerts:
            try:
                self._episodes.receive([alert], made_up_by=row.id)
            except WrongState as error:
                if not self._told_full:
                    log.warning("%s: %s", row.id, error.message)
                self._told_full = True
                return
        self._told_full = False

    def end(self, alert: Alert, now: datetime) -> None:
        """Let one end, as an alert ends that Prometheus resolves; one that does not fire is left alone."""
        self._episodes.receive([replace(alert, starts_at=None, ends_at=now)])

    def conclude(self, row: str) -> None:
        """The fault is over: resolve what it made up, and say in the history that it did."""
        state = self._store.state
        for identity in [key for key, made_by in state.invented.items() if made_by == row]:
            incident, done = state.incidents.get(identity), invented_record(identity, "")
            if incident is not None and incident.is_open:
                self._incidents.resolve(identity, author(row), MADE_UP, [done])
            elif incident is not None:
                line = self._store.history("note", author(row), MADE_UP, {"fault": row}, incident=identity)
                self._store.commit([line, done])
            else:
                self._store.commit([done])


def firing(alert: Alert, starts_at: datetime) -> Alert:
    """The alert, firing since then; its lease is the pager's own."""
    return replace(alert, starts_at=starts_at, ends_at=None)


def arrivals(alerts: Sequence[Alert], since: datetime, now: datetime, spread: timedelta) -> list[Alert]:
    """Those of a storm that have begun, each at its own instant of the spread."""
    step = spread / max(len(alerts), 1)
    begun = [(alert, since + step * number) for number, alert in enumerate(alerts)]
    return [firing(alert, at) for alert, at in begun if at <= now]
