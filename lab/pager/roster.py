"""Who is on call, and how one person hands over to the next with the open work in writing."""

from __future__ import annotations

from dataclasses import replace

from lab.core.approval import ApprovalStatus
from lab.core.incident import Incident
from lab.errors import UsageError
from lab.pager.ladder import Ladder
from lab.pager.people import plain_name, same_person
from lab.pager.state import ladder_record, record_of
from lab.pager.store import Store, WrongState
from lab.pager.values import Handover, LetterStatus

MAX_NAMED = 20
"""Incidents named one by one in a summary."""


class Roster:
    """Who is on call now, and hand-overs."""

    def __init__(self, store: Store, ladder: Ladder) -> None:
        self._store = store
        self._ladder = ladder

    @property
    def primary(self) -> str:
        """Who is called first."""
        return self._ladder.levels[0].person

    def hand_over(self, giver: str, taker: str, note: str = "") -> Handover:
        """Put `taker` in the place of `giver`, who must be on call.

        Raises UsageError when they are one person, WrongState when `giver` is not on call, JournalError.
        """
        levels = self._ladder.levels
        if not plain_name(taker) or same_person(giver, taker):
            raise UsageError("a hand-over is from one person to another", hint="name them with from and to")
        place = next((i for i, level in enumerate(levels) if same_person(level.person, giver)), None)
        if place is None:
            on_call = ", ".join(f"{level.person} ({level.name})" for level in levels)
            raise WrongState(f"{giver} is not on call", hint=f"on call: {on_call}")
        changed = list(levels)
        changed[place] = replace(levels[place], person=taker)
        handover = Handover(self._store.clock.now(), giver, taker, note, self.summary())
        said = f" ({note})" if note else ""
        text = f"{levels[place].name}: {giver} hands over to {taker}{said}. {handover.summary}"
        records = [
            ladder_record(tuple(changed)),
            record_of("handover", handover),
            self._store.history("handover", giver, text, {"from": giver, "to": taker}),
        ]
        self._store.commit(records, answer=handover.as_dict())
        return handover

    def summary(self) -> str:
        """The open work in words, from the book."""
        state = self._store.state
        incidents = [state.incidents[identity] for identity in state.open.values()]
        parts = [_counted(len(incidents), "open incident")]
        parts += [_told(incident) for incident in incidents[:MAX_NAMED]]
        if len(incidents) > MAX_NAMED:
            parts.append(f"{len(incidents) - MAX_NAMED} more")
        pending = sum(a.status is ApprovalStatus.PENDING for a in state.approvals.values())
        letters = sum(x.status is LetterStatus.OPEN for x in state.dead_letters.values())
        now = self._store.clock.now()
        silences = sum(silence.state(now) == "active" for silence in state.silences.values())
        for count, what in ((pending, "pending approval"), (letters, "dead letter"), (silences, "silence")):
            if count:
                parts.append(_counted(count, what))
        return "; ".join(parts) + "."


def _told(incident: Incident) -> str:
    labels = ", ".join(
        f"{name}={value}"
        for name, value in sorted(incident.labels.items())
        if name not in ("alertname", "severity")
    )
    who = f"acknowledged by {incident.acknowledged_by}" if incident.acknowledged_by else "not acknowledged"
    last = f", last {incident.actions[-1].action} by {incident.actions[-1].by}" if incident.actions else ""
    return f"{incident.id} {incident.alertname}{{{labels}}} {who}{last}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
