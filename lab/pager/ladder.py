"""The escalation ladder: who is called next when nobody answers.

    primary on-call ─ 15 lab minutes ─► secondary on-call ─ 15 ─► engineering manager ─ 15 ─► exhausted

A page stands on it from its opening until it is acknowledged or over, an escalation until it is acknowledged
or its incident is over. The levels may be changed (`set_levels`); a level's time counts from its call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from lab.core.escalation import Escalation, Rung
from lab.core.incident import Incident, IncidentStatus
from lab.pager.journal import Record
from lab.pager.people import ONCALL
from lab.pager.silences import Silences
from lab.pager.state import incident_record, ladder_record, record_of
from lab.pager.store import PAGER, Store
from lab.pager.values import Level

DEFAULT_LEVELS = (
    Level("primary on-call", ONCALL, 15.0),
    Level("secondary on-call", "human:secondary", 15.0),
    Level("engineering manager", "human:manager", 15.0),
)


class Ladder:
    """Levels, and the steps of what nobody answers."""

    def __init__(self, store: Store, silences: Silences) -> None:
        self._store = store
        self._silences = silences

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels in the order in which they are called; never empty."""
        return self._store.state.levels or DEFAULT_LEVELS

    def set_levels(self, by: str, levels: Sequence[Level]) -> None:
        """Change the ladder; what stands on it keeps its level. Raises JournalError."""
        text = " → ".join(f"{level.name} {level.person} ({level.lab_minutes:g} min)" for level in levels)
        records = [ladder_record(tuple(levels)), self._store.history("ladder", by, text)]
        self._store.commit(records, answer=self.as_dict(levels))

    def as_dict(self, levels: Sequence[Level] | None = None) -> dict[str, object]:
        """The wire form of the levels."""
        return {"levels": [level.as_dict() for level in levels or self.levels]}

    def first(self, now: datetime) -> Rung:
        """Where a new page stands."""
        return self._rung(1, now)

    def _rung(self, number: int, since: datetime) -> Rung:
        level = self.levels[number - 1]
        return Rung(number, level.name, level.person, since)

    def tick(self) -> None:
        """Call the next level where the present one let its time pass. Raises JournalError."""
        now = self._store.clock.now()
        state = self._store.state
        for identity in list(state.open.values()):
            incident = state.incidents[identity]
            if self._waits(incident, now) and incident.ladder:
                after = self._next(incident.ladder, now)
                if after is not None:
                    about = f"page {incident.alertname}"
                    self._step(about, incident.ladder, after, replace(incident, ladder=after), None)
        for escalation in self.unanswered():
            if escalation.ladder:
                after = self._next(escalation.ladder, now)
                if after is not None:
                    changed = replace(escalation, ladder=after)
                    about = f"escalation {escalation.id}"
                    self._step(about, escalation.ladder, after, self._owner(changed), changed)

    def _waits(self, incident: Incident, now: datetime) -> bool:
        is_unanswered = incident.status is IncidentStatus.TRIGGERED
        return is_unanswered and not self._silences.silencing(incident.labels, now)

    def unanswered(self) -> list[Escalation]:
        """The escalations that nobody took and whose incident, if there is one, is not over."""
        state = self._store.state
        open_ones = set(state.open.values())
        return [
            escalation
            for escalation in state.escalations.values()
            if escalation.is_open and (not escalation.incident or escalation.incident in open_ones)
        ]

    def _owner(self, escalation: Escalation) -> Incident | None:
        """The incident of an escalation, with the escalation as it is now."""
        owner = self._store.state.incidents.get(escalation.incident)
        return None if owner is None else with_escalation(owner, escalation)

    def _next(self, rung: Rung, now: datetime) -> Rung | None:
        """The rung after this one when its time is over; None when it is not, or was the last."""
        levels = self.levels
        number = min(rung.level, len(levels))
        if rung.exhausted_at or now - rung.since < self._store.span(levels[number - 1].lab_minutes):
            return None
        return replace(rung, exhausted_at=now) if number == len(levels) else self._rung(number + 1, now)

    def _step(
        self, about: str, before: Rung, after: Rung, incident: Incident | None, escalation: Escalation | None
    ) -> None:
        missed = f"{about}: no answer from {before.name} {before.person}"
        if after.exhausted_at:
            text = f"{missed}; the ladder is exhausted, nobody is left to call"
        else:
            text = f"{missed}; calling {after.name} {after.person}"
        records: list[Record] = []
        if escalation is not None:
            records.append(record_of("escalation", escalation))
        if incident is not None:
            records.append(incident_record(incident))
        data = {"ladder": after.as_dict(), "escalation": escalation.id if escalation else None}
        line = self._store.history("level", PAGER, text, data, incident=incident.id if incident else "")
        self._store.commit([*records, line])
        self._store.meters.timeouts.labels(str(before.level)).inc()


def with_escalation(incident: Incident, escalation: Escalation) -> Incident:
    """The incident with its copy of the escalation replaced."""
    copies = (escalation if old.id == escalation.id else old for old in incident.escalations)
    return replace(incident, escalations=tuple(copies))
