"""The book of incidents: what an alert, an acknowledgement, an action or the passing of time means.

Every change is one list of records, written to the journal before the state believes it. An incident's rules:

- Its identity is fingerprint + startsAt. Prometheus keeps startsAt while an alert fires, so a repeated push
  renews the lease (endsAt) of the same incident, and an alert that fires again after it ended is a new one.
- A push with another startsAt while the lease runs belongs to the same episode, as in Alertmanager: a
  restarted Prometheus does not page a second time.
- It resolves when a push says so, when the lease ends, or by hand. One that was resolved by hand while its
  alert goes on firing is reopened after `REOPEN_LAB_MINUTES`: closing a page repairs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from lab.core.clock import Clock, TimeScale, rfc3339
from lab.core.incident import (
    NO_ACTION,
    Action,
    Escalation,
    HistoryEntry,
    Incident,
    IncidentStatus,
    Note,
    StatusPost,
)
from lab.errors import UsageError
from lab.pager.alerts import Alert, fingerprint
from lab.pager.journal import Journal, JournalError, Record
from lab.pager.meters import PagerMeters
from lab.pager.state import PagerState, Webhook, delivered_record, incident_record

HEARTBEAT = "Watchdog"
"""The alert that fires always and never opens an incident."""

QUIET_SEVERITIES = frozenset({"none", "info", "warning"})
"""Severities that open an incident (a ticket) but page nobody."""

RESOLVE_TIMEOUT_LAB_MINUTES = 5.0
REOPEN_LAB_MINUTES = 15.0
MAX_OPEN = 1000
MAX_PARTS = 200
"""Actions, notes or escalations of one incident."""
ALERT = "alert"
"""Who opened or resolved an incident when no person or program did."""

_COMPACT_ABOVE = 2000


class UnknownIncident(UsageError):
    """There is no such incident."""


class WrongState(UsageError):
    """The incident is past the point where that can be done, or full."""


class IncidentBook:
    """All operations on incidents. Synchronous, hence atomic on one event loop."""

    def __init__(
        self, journal: Journal, clock: Clock, scale: TimeScale, meters: PagerMeters, state: PagerState
    ) -> None:
        self.state = state
        self.clock = clock
        self.scale = scale
        self.changed: list[Callable[[], None]] = []
        """Called after every change."""
        self.heard_at: datetime | None = None
        """When the heartbeat alert came last."""
        self._journal = journal
        self._meters = meters
        self._ends: dict[str, datetime] = {}
        self._resolve_timeout = timedelta(seconds=scale.real(minutes=RESOLVE_TIMEOUT_LAB_MINUTES))

    def remember(self) -> None:
        """Read the journal. Open incidents get a fresh lease: the silence was the pager's own.

        Raises JournalError when the journal cannot be written.
        """
        for record in self._journal.load():
            try:
                self.state.apply(record)
            except (KeyError, ValueError, TypeError, AttributeError):
                continue  # a record of another version; the rest is still worth having
        for identity in self.state.open.values():
            self._ends[identity] = self.clock.now() + self._resolve_timeout * 4
        self._journal.rewrite(self.state.snapshot())
        self._meters.open.set(len(self.state.open))

    # Alerts

    def receive(self, alerts: Iterable[Alert]) -> None:
        """Take a push in: open, renew or resolve. Raises JournalError."""
        for alert in alerts:
            self._receive(alert, self.clock.now())

    def _receive(self, alert: Alert, now: datetime) -> None:
        if alert.name == HEARTBEAT:
            self.heard_at = now
            return
        print_ = fingerprint(alert.labels)
        current = self.state.incidents.get(self.state.open.get(print_, ""))
        ends_at = alert.ends_at or now + self._resolve_timeout
        if ends_at <= now:
            if current and not _is_older_episode(alert, current):
                self._resolve(current, by=ALERT, text="the alert ended", ends_at=ends_at)
        elif current:
            self._renew(current, alert, ends_at)
        else:
            self._fire(print_, alert, ends_at, now)

    def _renew(self, incident: Incident, alert: Alert, ends_at: datetime) -> None:
        """A longer lease and fresher annotations. Neither is worth a line in the journal."""
        self._ends[incident.id] = ends_at
        self.state.incidents[incident.id] = replace(
            incident, ends_at=ends_at, annotations=dict(alert.annotations) or incident.annotations
        )

    def _fire(self, print_: str, alert: Alert, ends_at: datetime, now: datetime) -> None:
        starts_at = min(alert.starts_at or now, now)
        identity = incident_id(print_, starts_at)
        known = self.state.incidents.get(identity)
        if known and known.resolved_by != ALERT and not self._is_overdue(known, now):
            return
        if len(self.state.open) >= MAX_OPEN:
            raise WrongState(f"{MAX_OPEN} incidents are open; no more are taken", hint="resolve some")
        if known:
            again = _triggered(known, ends_at)
            entry = self._entry("reopened", known, ALERT, "the alert still fires", {})
        else:
            again = _new_incident(identity, print_, alert, starts_at, ends_at, now)
            entry = self._opening_entry(again)
        self._ends[identity] = ends_at
        self._commit([incident_record(again, alert.generator_url), _history(entry)])
        if again.severity not in QUIET_SEVERITIES:
            self._meters.pages.labels(again.alertname, again.severity).inc()

    def _is_overdue(self, resolved: Incident, now: datetime) -> bool:
        patience = timedelta(seconds=self.scale.real(minutes=REOPEN_LAB_MINUTES))
        return resolved.resolved_at is not None and now - resolved.resolved_at >= patience

    def _opening_entry(self, incident: Incident) -> HistoryEntry:
        """The line of a new incident; it says when the same alert ended less than a lab hour ago."""
        recent = timedelta(seconds=self.scale.real(hours=1))
        before = [
            old
            for old in self.state.incidents.values()
            if old.fingerprint == incident.fingerprint
            and old.resolved_at
            and incident.opened_at - old.resolved_at < recent
        ]
        data: dict[str, Any] = {"labels": dict(incident.labels), "recurrence": len(before)}
        text = incident.annotations.get("summary") or incident.alertname
        if before:
            data["after"] = before[-1].id
            text += f" (fires again: {len(before)} before it within a lab hour)"
        return self._entry("opened", incident, ALERT, text, data)

    def expire(self) -> None:
        """Resolve the incidents whose lease has ended. Raises JournalError."""
        now = self.clock.now()
        for identity in list(self.state.open.values()):
            ends_at = self._ends.get(identity)
            if ends_at is not None and ends_at <= now:
                incident = self.state.incidents[identity]
                self._resolve(incident, by=ALERT, text="no push has renewed the alert", ends_at=ends_at)

    # People and programs

    def incident(self, identity: str) -> Incident:
        """One incident. Raises UnknownIncident."""
        found = self.state.incidents.get(identity)
        if found is None:
            raise UnknownIncident(f"there is no incident {identity[:80]!r}")
        return found

    def acknowledge(self, identity: str, by: str) -> Incident:
        """Take an incident. A second time changes nothing. Raises UnknownIncident, WrongState."""
        incident = self.incident(identity)
        if not incident.is_open:
            raise WrongState(f"incident {identity} is resolved already")
        if incident.status is IncidentStatus.ACKNOWLEDGED:
            return incident
        now = self.clock.now()
        taken = replace(incident, status=IncidentStatus.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=by)
        self._update(taken, self._entry("acknowledged", taken, by, "", {}))
        self._meters.to_acknowledge.observe(taken.seconds_to_acknowledge or 0.0)
        return taken

    def resolve(self, identity: str, by: str, note: str = "") -> Incident:
        """Close an incident by hand. A second time changes nothing. Raises UnknownIncident."""
        incident = self.incident(identity)
        return self._resolve(incident, by=by, text=note) if incident.is_open else incident

    def _resolve(
        self, incident: Incident, *, by: str, text: str, ends_at: datetime | None = None
    ) -> Incident:
        closed = replace(
            incident,
            status=IncidentStatus.RESOLVED,
            resolved_at=self.clock.now(),
            resolved_by=by,
            ends_at=ends_at or incident.ends_at,
        )
        self._update(closed, self._entry("resolved", closed, by, text, {}))
        self._ends.pop(closed.id, None)
        self._meters.to_resolve.observe(max(closed.seconds_to_resolve or 0.0, 0.0))
        return closed

    def add_note(self, identity: str, by: str, text: str) -> Incident:
        """Write a remark, on a resolved incident too. Raises UnknownIncident, WrongState."""
        incident = self.incident(identity)
        _refuse_too_many(incident.notes, "notes", identity)
        changed = replace(incident, notes=(*incident.notes, Note(self.clock.now(), by, text)))
        return self._update(changed, self._entry("note", changed, by, text, {}))

    def add_action(self, identity: str, action: Action) -> Incident:
        """Report what was done, or decided. Raises UnknownIncident, WrongState."""
        incident = self.incident(identity)
        _refuse_too_many(incident.actions, "actions", identity)
        changed = replace(incident, actions=(*incident.actions, action))
        return self._update(
            changed, self._entry("action", changed, action.by, _describe(action), action.as_dict())
        )

    def escalate(self, by: str, summary: str, evidence: Any = None, identity: str = "") -> Escalation:
        """Hand over to a human, with or without an incident. Raises UnknownIncident, WrongState."""
        now = self.clock.now()
        number = hashlib.sha256(f"{rfc3339(now)}\0{by}\0{summary}\0{identity}".encode()).hexdigest()[:10]
        escalation = Escalation(f"esc-{number}", now, by, summary, identity, evidence)
        records: list[Record] = [{"kind": "escalation", "value": escalation.as_dict()}]
        incident = None
        if identity:
            incident = self.incident(identity)
            _refuse_too_many(incident.escalations, "escalations", identity)
            incident = replace(
                incident,
                escalated_at=incident.escalated_at or now,
                escalations=(*incident.escalations, escalation),
            )
            records.append(incident_record(incident))
        entry = self._entry("escalated", incident, by, summary, {"escalation": escalation.id})
        self._commit([*records, _history(entry)])
        self._meters.escalations.inc()
        return escalation

    def post_status(self, by: str, text: str, identity: str = "") -> StatusPost:
        """Post to the team channel. Raises UnknownIncident."""
        incident = self.incident(identity) if identity else None
        post = StatusPost(self.clock.now(), by, text, identity)
        entry = self._entry("status", incident, by, text, {})
        self._commit([{"kind": "status", "value": post.as_dict()}, _history(entry)])
        self._meters.status_posts.inc()
        return post

    # Webhooks

    def put_webhook(self, webhook: Webhook) -> None:
        """Add or replace a receiver; it is told of every open incident, again if it had been told."""
        entry = self._entry("webhook", None, webhook.name, f"receives notifications at {webhook.url}", {})
        self._commit([{"kind": "webhook", "value": webhook.as_dict()}, _history(entry)])

    def remove_webhook(self, name: str) -> bool:
        """Forget a receiver; whether there was one."""
        if name not in self.state.webhooks:
            return False
        entry = self._entry("webhook", None, name, "receives no more notifications", {})
        self._commit([{"kind": "webhook-removed", "value": {"name": name}}, _history(entry)])
        return True

    def told(self, webhook: str, incident: Incident, status: str, failure: str = "") -> None:
        """A webhook was told a status, or has refused it for good. Raises JournalError."""
        records = [delivered_record(webhook, incident.id, status)]
        if failure:
            text = f"refused the notification ({status}): {failure}"
            records.append(_history(self._entry("webhook", incident, webhook, text, {"status": status})))
        self._commit(records)

    # Writing

    def _update(self, incident: Incident, entry: HistoryEntry) -> Incident:
        self._commit([incident_record(incident), _history(entry)])
        return incident

    def _commit(self, records: list[Record]) -> None:
        self._journal.append(records)
        for record in records:
            self.state.apply(record)
        if self._journal.lines > _COMPACT_ABOVE and self._journal.lines > 4 * self.state.size():
            try:
                self._journal.rewrite(self.state.snapshot())
            except JournalError:
                pass  # the long file is as good; the next change tries again
        self._meters.open.set(len(self.state.open))
        for listener in self.changed:
            listener()

    def _entry(
        self, kind: str, incident: Incident | None, by: str, text: str, data: Mapping[str, Any]
    ) -> HistoryEntry:
        return HistoryEntry(self.clock.now(), kind, incident.id if incident else "", by, text, data)


def incident_id(print_: str, starts_at: datetime) -> str:
    """The id of an episode: the same for the same fingerprint and start, whoever asks and whenever."""
    return "inc-" + hashlib.sha256(f"{print_}\0{rfc3339(starts_at)}".encode()).hexdigest()[:10]


def _new_incident(
    identity: str, print_: str, alert: Alert, starts_at: datetime, ends_at: datetime, now: datetime
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


def _triggered(resolved: Incident, ends_at: datetime) -> Incident:
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


def _refuse_too_many(parts: tuple[Any, ...], what: str, identity: str) -> None:
    if len(parts) >= MAX_PARTS:
        raise WrongState(f"incident {identity} has {MAX_PARTS} {what} already; no more are taken")


def _describe(action: Action) -> str:
    name = "/".join(part for part in (action.target.namespace, action.target.name) if part)
    what = "decided to do nothing" if action.action == NO_ACTION else action.action
    return " ".join(part for part in (what, name, f"({action.outcome})" if action.outcome else "") if part)


def _history(entry: HistoryEntry) -> Record:
    return {"kind": "history", "value": entry.as_dict()}
