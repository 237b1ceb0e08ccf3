"""What people and programs do about an incident: take it, close it, remark, report, post."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.core.incident import NO_ACTION, Action, Incident, IncidentStatus, Note, StatusPost
from lab.pager.escalations import Escalations, refuse_too_many
from lab.pager.journal import Record
from lab.pager.state import incident_record, record_of
from lab.pager.store import Store, WrongState


class Incidents:
    """All operations on incidents that are not an alert's."""

    def __init__(self, store: Store, escalations: Escalations) -> None:
        self._store = store
        self._escalations = escalations

    def acknowledge(self, identity: str, by: str) -> Incident:
        """Take an incident, and with it what others escalated about it. A second time changes nothing.

        Raises NotFound, WrongState, JournalError.
        """
        incident = self._store.incident(identity)
        if not incident.is_open:
            raise WrongState(f"incident {identity} is resolved already")
        is_first = incident.status is IncidentStatus.TRIGGERED
        taken, records = self._escalations.taking(incident, by)
        if is_first:
            taken = replace(
                taken,
                status=IncidentStatus.ACKNOWLEDGED,
                acknowledged_at=self._store.clock.now(),
                acknowledged_by=by,
            )
            line = self._store.history("acknowledged", by, "", incident=identity)
            records = [incident_record(taken), line, *_others(records)]
        if records:
            self._store.commit(records, answer=taken.as_dict())
        if is_first:
            self._store.meters.to_acknowledge.observe(taken.seconds_to_acknowledge or 0.0)
        return taken

    def resolve(self, identity: str, by: str, note: str = "", more: Sequence[Record] = ()) -> Incident:
        """Close an incident by hand. A second time changes nothing. Raises NotFound, JournalError.

        more: what becomes true with it.
        """
        incident = self._store.incident(identity)
        if not incident.is_open:
            return incident
        now = self._store.clock.now()
        closed = replace(incident, status=IncidentStatus.RESOLVED, resolved_at=now, resolved_by=by)
        self._update(closed, self._store.history("resolved", by, note, incident=identity), *more)
        self._store.meters.to_resolve.observe(max(closed.seconds_to_resolve or 0.0, 0.0))
        return closed

    def add_note(self, identity: str, by: str, text: str) -> Incident:
        """Write a remark, on a resolved incident too. Raises NotFound, WrongState, JournalError."""
        incident = self._store.incident(identity)
        refuse_too_many(incident.notes, "notes", identity)
        changed = replace(incident, notes=(*incident.notes, Note(self._store.clock.now(), by, text)))
        return self._update(changed, self._store.history("note", by, text, incident=identity))

    def add_action(self, identity: str, action: Action) -> Incident:
        """Report what was done, or decided. Raises NotFound, WrongState, JournalError."""
        incident = self._store.incident(identity)
        refuse_too_many(incident.actions, "actions", identity)
        changed = replace(incident, actions=(*incident.actions, action))
        text, data = _describe(action), action.as_dict()
        return self._update(changed, self._store.history("action", action.by, text, data, incident=identity))

    def post_status(self, by: str, text: str, identity: str = "") -> StatusPost:
        """Post to the team channel. Raises NotFound, JournalError."""
        if identity:
            self._store.incident(identity)
        post = StatusPost(self._store.clock.now(), by, text, identity)
        line = self._store.history("status", by, text, incident=identity)
        self._store.commit([record_of("status", post), line], answer=post.as_dict())
        self._store.meters.status_posts.inc()
        return post

    def _update(self, incident: Incident, *lines: Record) -> Incident:
        self._store.commit([incident_record(incident), *lines], answer=incident.as_dict())
        return incident


def _others(records: list[Record]) -> list[Record]:
    """All but the record of the incident itself, which the caller writes."""
    return [record for record in records if record["kind"] != "incident"]


def _describe(action: Action) -> str:
    name = "/".join(part for part in (action.target.namespace, action.target.name) if part)
    what = "decided to do nothing" if action.action == NO_ACTION else action.action
    return " ".join(part for part in (what, name, f"({action.outcome})" if action.outcome else "") if part)
