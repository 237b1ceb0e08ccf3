"""From alerts to incidents: what a push, a silence or the passing of time means.

- An incident's identity is fingerprint + startsAt. Prometheus keeps startsAt while an alert fires, so a
  repeated push renews the lease (endsAt) of the same incident, and an alert that fires again after its end is
  a new one.
- A push with another startsAt while the lease runs belongs to the same episode, as in Alertmanager: a
  restarted Prometheus does not page a second time.
- It resolves when a push says so, when the lease ends, or by hand. An Alertmanager's notification gives no
  lease: what it says holds until it says otherwise. One that was resolved by hand while its
  alert goes on firing is reopened after `REOPEN_LAB_MINUTES`: closing a page repairs nothing.
- An alert that a silence matches opens no incident; when the silence ends and it still fires, the next push
  does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from lab.core.clock import rfc3339
from lab.core.incident import Incident, IncidentStatus
from lab.pager.alerts import Alert, fingerprint
from lab.pager.journal import Record
from lab.pager.ladder import Ladder
from lab.pager.silences import Silences
from lab.pager.state import incident_record, invented_record
from lab.pager.store import Store, WrongState

HEARTBEAT = "Watchdog"
"""The alert that fires always and never opens an incident."""

QUIET_SEVERITIES = frozenset({"none", "info", "warning"})
"""Severities that open an incident (a ticket) but page nobody."""

RESOLVE_TIMEOUT_LAB_MINUTES = 5.0
REOPEN_LAB_MINUTES = 15.0
MAX_OPEN = 1000
ALERT = "alert"
"""Who opened or resolved an incident when no person or program did."""


@dataclass(frozen=True, slots=True)
class Silenced:
    """An alert that fires and pages nobody."""

    alert: Alert
    starts_at: datetime
    ends_at: datetime | None
    by: tuple[str, ...]


class Episodes:
    """What alerts do to incidents."""

    def __init__(self, store: Store, ladder: Ladder, silences: Silences) -> None:
        self._store = store
        self._ladder = ladder
        self._silences = silences
        self._ends: dict[str, datetime] = {}
        self._resolve_timeout = store.span(RESOLVE_TIMEOUT_LAB_MINUTES)
        self.heard_at: datetime | None = None
        """When the heartbeat alert came last."""
        self.silenced: dict[str, Silenced] = {}
        """By fingerprint. In memory only: the next push fills it again."""

    def remember(self) -> None:
        """After a start: open incidents get a fresh lease, as the silence was the pager's own."""
        state = self._store.state
        leased = (identity for identity in state.open.values() if state.incidents[identity].ends_at)
        for identity in leased:
            self._ends[identity] = self._store.clock.now() + self._resolve_timeout * 4

    def receive(self, alerts: Iterable[Alert], *, made_up_by: str = "") -> None:
        """Take a push in: open, renew or resolve. Raises WrongState when too many are open, JournalError.

        made_up_by: the row of the fault that made these up; what they open is marked with it.
        """
        for alert in alerts:
            self._receive(alert, self._store.clock.now(), made_up_by)

    def _receive(self, alert: Alert, now: datetime, made_up_by: str) -> None:
        if alert.name == HEARTBEAT:
            self.heard_at = now
            return
        state = self._store.state
        print_ = fingerprint(alert.labels)
        current = state.incidents.get(state.open.get(print_, ""))
        ends_at = alert.ends_at or (None if alert.until_told else now + self._resolve_timeout)
        if ends_at is not None and ends_at <= now:
            self._forget_silenced(print_)
            if current and not _is_older_episode(alert, current):
                self._resolve(current, text="the alert ended", ends_at=ends_at)
        elif current:
            self._renew(current, alert, ends_at)
        elif silences := self._silences.silencing(alert.labels, now):
            self._keep_quiet(print_, alert, ends_at, now, silences)
        else:
            self._forget_silenced(print_)
            self._fire(print_, alert, ends_at, now, made_up_by)

    def _keep_quiet(
        self, print_: str, alert: Alert, ends_at: datetime | None, now: datetime, silences: list[str]
    ) -> None:
        if print_ not in self.silenced:
            summary = alert.annotations.get("summary") or alert.name
            data = {"labels": dict(alert.labels), "silencedBy": silences}
            self._store.commit([self._store.history("silenced", ALERT, summary, data)])
        starts_at = min(alert.starts_at or now, now)
        self.silenced[print_] = Silenced(alert, starts_at, ends_at, tuple(silences))
        self._store.meters.silenced.set(len(self.silenced))

    def _forget_silenced(self, print_: str) -> None:
        if self.silenced.pop(print_, None) is not None:
            self._store.meters.silenced.set(len(self.silenced))

    def _lease(self, identity: str, ends_at: datetime | None) -> None:
        if ends_at is None:
            self._ends.pop(identity, None)
        else:
            self._ends[identity] = ends_at

    def _renew(self, incident: Incident, alert: Alert, ends_at: datetime | None) -> None:
        """A longer lease and fresher annotations. Neither is worth a line in the journal."""
        self._lease(incident.id, ends_at)
        self._store.state.incidents[incident.id] = replace(
            incident, ends_at=ends_at, annotations=dict(alert.annotations) or incident.annotations
        )

    def _fire(
        self, print_: str, alert: Alert, ends_at: datetime | None, now: datetime, made_up_by: str
    ) -> None:
        state = self._store.state
        starts_at = min(alert.starts_at or now, now)
        identity = incident_id(print_, starts_at)
        known = state.incidents.get(identity)
        if known and known.resolved_by != ALERT and not self._is_overdue(known, now):
            return
        if len(state.open) >= MAX_OPEN:
            raise WrongState(f"{MAX_OPEN} incidents are open; no more are taken", hint="resolve some")
        if known:
            again = _triggered(known, ends_at)
            line = self._store.history("reopened", ALERT, "the alert still fires", incident=identity)
        else:
            again = _new_incident(identity, print_, alert, starts_at, ends_at, now)
            line = self._opening_line(again)
        pages = again.severity not in QUIET_SEVERITIES
        again = replace(again, ladder=self._ladder.first(now) if pages else None)
        self._lease(identity, ends_at)
        mark = [invented_record(identity, made_up_by)] if made_up_by else []
        self._store.commit([incident_record(again, alert.generator_url), line, *mark])
        if pages:
            self._store.meters.pages.labels(again.alertname, again.severity).inc()

    def _is_overdue(self, resolved: Incident, now: datetime) -> bool:
        patience = self._store.span(REOPEN_LAB_MINUTES)
        return resolved.resolved_at is not None and now - resolved.resolved_at >= patience

    def _opening_line(self, incident: Incident) -> Record:
        """The line of a new incident; it says when the same alert ended less than a lab hour ago."""
        recent = self._store.span(60)
        before = [
            old
            for old in self._store.state.incidents.values()
            if old.fingerprint == incident.fingerprint
            and old.resolved_at
            and incident.opened_at - old.resolved_at < recent
        ]
        data: dict[str, Any] = {"labels": dict(incident.labels), "recurrence": len(before)}
        text = incident.annotations.get("summary") or incident.alertname
        if before:
            data["after"] = before[-1].id
            text += f" (fires again: {len(before)} before it within a lab hour)"
        return self._store.history("opened", ALERT, text, data, incident=incident.id)

    def tick(self) -> None:
        """Resolve the incidents whose lease has ended. Raises JournalError."""
        now = self._store.clock.now()
        state = self._store.state
        for identity in list(state.open.values()):
            ends_at = self._ends.get(identity)
            if ends_at is not None and ends_at <= now:
                text = "no push has renewed the alert"
                self._resolve(state.incidents[identity], text=text, ends_at=ends_at)
        for print_, silenced in list(self.silenced.items()):
            if silenced.ends_at is not None and silenced.ends_at <= now:
                self._forget_silenced(print_)
        for identity in self._ends.keys() - set(state.open.values()):
            del self._ends[identity]

    def _resolve(self, incident: Incident, *, text: str, ends_at: datetime) -> None:
        closed = replace(
            incident,
            status=IncidentStatus.RESOLVED,
            resolved_at=self._store.clock.now(),
            resolved_by=ALERT,
            ends_at=ends_at,
        )
        line = self._store.history("resolved", ALERT, text, incident=closed.id)
        self._store.commit([incident_record(closed), line])
        self._store.meters.to_resolve.observe(max(closed.seconds_to_resolve or 0.0, 0.0))


def incident_id(print_: str, starts_at: datetime) -> str:
    """The id of an episode: the same for the same fingerprint and start, whoever asks and whenever."""
    return "inc-" + hashlib.sha256(f"{print_}\0{rfc3339(starts_at)}".encode()).hexdigest()[:10]


def _new_incident(
    identity: str,
    print_: str,
    alert: Alert,
    starts_at: datetime,
    ends_at: datetime | None,
    now: datetime,
) -> Incident:
    return Incident(
        id=identity,
        fingerprint=print_,
        alertname=alert.name,
        labels=dict(alert.labels),
        annotations=dict(alert.annotations),
        severity=alert.labels.get("severity", ""),
        status=IncidentStatus.TRIGGERED,
        starts_at=starts_at,
        opened_at=now,
        ends_at=ends_at,
    )


def _triggered(resolved: Incident, ends_at: datetime | None) -> Incident:
    """A resolved incident, open again; who had acknowledged it has to do so again."""
    return replace(
        resolved,
        status=IncidentStatus.TRIGGERED,
        resolved_at=None,
        resolved_by=None,
        acknowledged_at=None,
        acknowledged_by=None,
        ends_at=ends_at,
    )


def _is_older_episode(alert: Alert, current: Incident) -> bool:
    """A late message about an episode that ended before the current one began?"""
    return bool(
        alert.starts_at
        and alert.ends_at
        and alert.starts_at < current.starts_at
        and alert.ends_at <= current.starts_at
    )
