"""What has happened, and nothing about what should: tables filled by applying records in order.

Applying the records of `PagerState.snapshot` to an empty state gives the same state again; that is how a
restarted pager remembers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from lab.core.approval import Approval, ApprovalStatus
from lab.core.escalation import Escalation
from lab.core.incident import HistoryEntry, Incident, StatusPost
from lab.pager.journal import Record
from lab.pager.values import DeadLetter, Handover, Level, PastAnswer, Silence, Webhook

Value = TypeVar("Value")

KEEP_INCIDENTS = 2000
"""Also of escalations, approvals, dead letters and silences."""
KEEP_HISTORY = 20_000
KEEP_POSTS = 2000
KEEP_ANSWERS = 500
KEEP_ANSWER_CHARACTERS = 4 * 1024 * 1024


class PagerState:
    """Every table of the pager."""

    def __init__(self) -> None:
        self.incidents: dict[str, Incident] = {}
        self.open: dict[str, str] = {}
        """Fingerprint to the id of the open incident."""
        self.generators: dict[str, str] = {}
        """Incident id to the generatorURL of its alert."""
        self.history: deque[HistoryEntry] = deque(maxlen=KEEP_HISTORY)
        self.posts: deque[StatusPost] = deque(maxlen=KEEP_POSTS)
        self.handovers: deque[Handover] = deque(maxlen=KEEP_POSTS)
        self.escalations: dict[str, Escalation] = {}
        self.approvals: dict[str, Approval] = {}
        self.dead_letters: dict[str, DeadLetter] = {}
        self.silences: dict[str, Silence] = {}
        self.webhooks: dict[str, Webhook] = {}
        self.delivered: dict[str, dict[str, str]] = {}
        """Webhook name to incident id to the last status told: firing, resolved, or "" to be told again."""
        self.invented: dict[str, str] = {}
        """Incident id to the row of the fault that made its alert up, until the history says so."""
        self.levels: tuple[Level, ...] = ()
        """The escalation ladder, as far as somebody changed it."""
        self.answers: dict[str, PastAnswer] = {}
        """Idempotency-Key to what was answered."""
        self._appliers: dict[str, Callable[[dict[str, Any]], None]] = {
            "history": lambda value: self.history.append(HistoryEntry.from_dict(value)),
            "status": lambda value: self.posts.append(StatusPost.from_dict(value)),
            "handover": lambda value: self.handovers.append(Handover.from_dict(value)),
            "escalation": self._put_escalation,
            "approval": self._put_approval,
            "dead-letter": self._put_dead_letter,
            "silence": self._put_silence,
            "ladder": self._put_levels,
            "webhook": self._put_webhook,
            "webhook-removed": self._remove_webhook,
            "delivered": self._put_delivered,
            "answer": self._put_answer,
            "invented": self._put_invented,
        }

    def apply(self, record: Record) -> None:
        """Take one fact in. Raises KeyError or ValueError when it is not one."""
        kind, value = record["kind"], record["value"]
        if kind == "incident":
            self._put_incident(Incident.from_dict(value), str(record.get("generatorURL") or ""))
        elif kind in self._appliers:
            self._appliers[kind](value)
        else:
            raise ValueError(f"unknown record {kind!r}")

    def _put_incident(self, incident: Incident, generator: str) -> None:
        self.incidents[incident.id] = incident
        if generator:
            self.generators[incident.id] = generator
        if incident.is_open:
            self.open[incident.fingerprint] = incident.id
        elif self.open.get(incident.fingerprint) == incident.id:
            del self.open[incident.fingerprint]
        forgotten = _forget_one(self.incidents, lambda old: not old.is_open)
        if forgotten is not None:
            self.generators.pop(forgotten, None)
            for told in self.delivered.values():
                told.pop(forgotten, None)

    def _put_escalation(self, value: dict[str, Any]) -> None:
        escalation = Escalation.from_dict(value)
        self.escalations[escalation.id] = escalation
        _forget_one(self.escalations, lambda old: True)

    def _put_approval(self, value: dict[str, Any]) -> None:
        approval = Approval.from_dict(value)
        self.approvals[approval.id] = approval
        living = (ApprovalStatus.PENDING, ApprovalStatus.APPROVED)
        _forget_one(self.approvals, lambda old: old.status not in living)

    def _put_dead_letter(self, value: dict[str, Any]) -> None:
        letter = DeadLetter.from_dict(value)
        self.dead_letters[letter.id] = letter
        _forget_one(self.dead_letters, lambda old: old.is_closed)

    def _put_silence(self, value: dict[str, Any]) -> None:
        silence = Silence.from_dict(value)
        self.silences.pop(silence.id, None)  # the one changed last is the last to be forgotten
        self.silences[silence.id] = silence
        _forget_one(self.silences, lambda old: True)

    def _put_levels(self, value: dict[str, Any]) -> None:
        self.levels = tuple(Level.from_dict(level) for level in value["levels"])

    def _put_webhook(self, value: dict[str, Any]) -> None:
        webhook = Webhook.from_dict(value)
        self.webhooks[webhook.name] = webhook
        self.delivered[webhook.name] = {}

    def _remove_webhook(self, value: dict[str, Any]) -> None:
        self.webhooks.pop(value["name"], None)
        self.delivered.pop(value["name"], None)

    def _put_delivered(self, value: dict[str, Any]) -> None:
        if value["webhook"] in self.delivered:
            self.delivered[value["webhook"]][value["incident"]] = value["status"]

    def _put_answer(self, value: dict[str, Any]) -> None:
        answer = PastAnswer.from_dict(value)
        self.answers[answer.key] = answer
        characters = sum(len(answer.body) for answer in self.answers.values())
        while len(self.answers) > KEEP_ANSWERS or characters > KEEP_ANSWER_CHARACTERS:
            characters -= len(self.answers.pop(next(iter(self.answers))).body)

    def _put_invented(self, value: dict[str, Any]) -> None:
        self.invented[value["incident"]] = value["row"]
        if not value["row"]:
            del self.invented[value["incident"]]

    def snapshot(self) -> Iterator[Record]:
        """The records that rebuild this state."""
        for incident in self.incidents.values():
            yield incident_record(incident, self.generators.get(incident.id, ""))
        for webhook in self.webhooks.values():
            yield record_of("webhook", webhook)
        for name, told in self.delivered.items():
            for incident_id, status in told.items():
                yield delivered_record(name, incident_id, status)
        for identity, row in self.invented.items():
            yield invented_record(identity, row)
        if self.levels:
            yield ladder_record(self.levels)
        for kind, values in self._plain_tables():
            for value in values:
                yield record_of(kind, value)

    def _plain_tables(self) -> tuple[tuple[str, Any], ...]:
        return (
            ("history", self.history),
            ("status", self.posts),
            ("handover", self.handovers),
            ("escalation", self.escalations.values()),
            ("approval", self.approvals.values()),
            ("dead-letter", self.dead_letters.values()),
            ("silence", self.silences.values()),
            ("answer", self.answers.values()),
        )

    def size(self) -> int:
        """How many records `snapshot` gives, give or take one."""
        plain = sum(len(values) for _, values in self._plain_tables())
        told = sum(map(len, self.delivered.values()))
        return plain + len(self.incidents) + len(self.webhooks) + len(self.invented) + told


def _forget_one(table: dict[str, Value], may_go: Callable[[Value], bool]) -> str | None:
    """Forget the oldest that may go when the table is too long; its key."""
    if len(table) <= KEEP_INCIDENTS:
        return None
    oldest = next((key for key, value in table.items() if may_go(value)), None)
    if oldest is not None:
        del table[oldest]
    return oldest


def record_of(kind: str, value: Any) -> Record:
    """The fact that something now looks like this."""
    return {"kind": kind, "value": value.as_dict()}


def incident_record(incident: Incident, generator: str = "") -> Record:
    """The fact that an incident now looks like this."""
    return {"kind": "incident", "value": incident.as_dict(), "generatorURL": generator}


def delivered_record(webhook: str, incident: str, status: str) -> Record:
    """The fact that a webhook was told a status."""
    return {"kind": "delivered", "value": {"webhook": webhook, "incident": incident, "status": status}}


def invented_record(incident: str, row: str) -> Record:
    """The fact that a fault made an incident's alert up; with an empty row, that this is done with."""
    return {"kind": "invented", "value": {"incident": incident, "row": row}}


def ladder_record(levels: tuple[Level, ...]) -> Record:
    """The fact that the escalation ladder now looks like this."""
    return {"kind": "ladder", "value": {"levels": [level.as_dict() for level in levels]}}
