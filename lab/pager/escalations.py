"""Escalations: somebody hands over to a human, and a human takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lab.core.escalation import Escalation
from lab.core.incident import Incident
from lab.pager.journal import Record
from lab.pager.ladder import Ladder, with_escalation
from lab.pager.people import same_person
from lab.pager.state import incident_record, record_of
from lab.pager.store import NotFound, Store, WrongState

MAX_PARTS = 200
"""Actions, notes or escalations of one incident."""


class Escalations:
    """All operations on escalations."""

    def __init__(self, store: Store, ladder: Ladder) -> None:
        self._store = store
        self._ladder = ladder

    def get(self, identity: str) -> Escalation:
        """One escalation. Raises NotFound."""
        found = self._store.state.escalations.get(identity)
        if found is None:
            raise NotFound(f"there is no escalation {identity[:80]!r}")
        return found

    def escalate(self, by: str, summary: str, evidence: Any = None, identity: str = "") -> Escalation:
        """Hand over to a human, with or without an incident. Raises NotFound, WrongState, JournalError."""
        now = self._store.clock.now()
        incident = self._store.incident(identity) if identity else None
        number = self._store.new_id("esc", by, summary, identity, str(len(self._store.state.escalations)))
        escalation = Escalation(number, now, by, summary, identity, evidence, ladder=self._ladder.first(now))
        records: list[Record] = [record_of("escalation", escalation)]
        if incident is not None:
            refuse_too_many(incident.escalations, "escalations", identity)
            incident = replace(
                incident,
                escalated_at=incident.escalated_at or now,
                escalations=(*incident.escalations, escalation),
            )
            records.append(incident_record(incident))
        data = {"escalation": escalation.id}
        line = self._store.history("escalated", by, summary, data, incident=identity)
        self._store.commit([*records, line], answer=escalation.as_dict())
        self._store.meters.escalations.inc()
        return escalation

    def acknowledge(self, identity: str, by: str) -> Escalation:
        """Take an escalation; its incident stays as it is. A second time changes nothing.

        Raises NotFound; WrongState for the one who handed it over; JournalError.
        """
        escalation = self.get(identity)
        if not escalation.is_open:
            return escalation
        if same_person(by, escalation.by):
            raise WrongState(f"{by} handed escalation {identity} over; somebody else has to take it")
        incident = self._store.state.incidents.get(escalation.incident)
        taken, records, _ = self._taken([escalation], incident, by)
        self._store.commit(records, answer=taken[0].as_dict())
        return taken[0]

    def taking(self, incident: Incident, by: str) -> tuple[Incident, list[Record]]:
        """What an acknowledgement of an incident means for its escalations: `by` takes those of others."""
        waiting = [
            escalation
            for escalation in self._store.state.escalations.values()
            if escalation.incident == incident.id
            and escalation.is_open
            and not same_person(by, escalation.by)
        ]
        _, records, changed = self._taken(waiting, incident, by)
        return changed or incident, records

    def _taken(
        self, waiting: list[Escalation], incident: Incident | None, by: str
    ) -> tuple[list[Escalation], list[Record], Incident | None]:
        now = self._store.clock.now()
        taken, records = [], []
        for escalation in waiting:
            done = replace(escalation, acknowledged_at=now, acknowledged_by=by)
            taken.append(done)
            records.append(record_of("escalation", done))
            text = f"escalation {done.id}: {done.summary}"
            data = {"escalation": done.id}
            records.append(self._store.history("acknowledged", by, text, data, incident=done.incident))
            if incident is not None:
                incident = with_escalation(incident, done)
        if incident is not None and taken:
            records.append(incident_record(incident))
        return taken, records, incident


def refuse_too_many(parts: tuple[Any, ...], what: str, identity: str) -> None:
    """Raise WrongState when an incident is full."""
    if len(parts) >= MAX_PARTS:
        raise WrongState(f"incident {identity} has {MAX_PARTS} {what} already; no more are taken")
