"""What the pager keeps besides incidents: webhooks, silences, dead letters, levels, hand-overs, answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from lab.core.clock import rfc3339
from lab.core.instants import optional, required, to_wire
from lab.pager.matchers import Matcher, parse_matchers


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of notifications. `name` is its identity."""

    name: str
    url: str
    matchers: tuple[Matcher, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"name": self.name, "url": self.url, "matchers": [str(matcher) for matcher in self.matchers]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Webhook:
        """Read the wire form. Raises KeyError or ValueError."""
        return cls(str(data["name"]), str(data["url"]), parse_matchers(data.get("matchers")))


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that match all matchers page nobody from starts_at to before ends_at."""

    id: str
    matchers: tuple[Matcher, ...]
    starts_at: datetime
    ends_at: datetime
    created_by: str
    comment: str
    updated_at: datetime

    def state(self, now: datetime) -> str:
        """pending, active or expired."""
        if now >= self.ends_at:
            return "expired"
        return "active" if now >= self.starts_at else "pending"

    def as_dict(self) -> dict[str, Any]:
        """The wire form, without the status, which is a matter of time."""
        return {
            "id": self.id,
            "matchers": [matcher.as_dict() for matcher in self.matchers],
            "startsAt": rfc3339(self.starts_at),
            "endsAt": rfc3339(self.ends_at),
            "createdBy": self.created_by,
            "comment": self.comment,
            "updatedAt": rfc3339(self.updated_at),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Silence:
        """Read the wire form. Raises KeyError or ValueError."""
        return cls(
            id=str(data["id"]),
            matchers=parse_matchers(data["matchers"]),
            starts_at=required(data["startsAt"]),
            ends_at=required(data["endsAt"]),
            created_by=str(data.get("createdBy") or ""),
            comment=str(data.get("comment") or ""),
            updated_at=required(data["updatedAt"]),
        )


class LetterStatus(StrEnum):
    """The life of a dead letter; replayed goes back to open when nobody takes it."""

    OPEN = "open"
    REPLAYED = "replayed"
    DONE = "done"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Work that was given up, until a person decides about it.

    by: who gave it up; the owner, to whom a replay gives it back. webhook: the receiver, when it is a
    notification; else "". attempts: how often it was given up (>= 1). changed_at, changed_by, note: the last
    decision.
    """

    id: str
    at: datetime
    by: str
    summary: str
    payload: Mapping[str, Any]
    incident: str = ""
    webhook: str = ""
    status: LetterStatus = LetterStatus.OPEN
    attempts: int = 1
    changed_at: datetime | None = None
    changed_by: str | None = None
    note: str = ""

    @property
    def is_closed(self) -> bool:
        """Is nobody to do anything about it any more?"""
        return self.status in (LetterStatus.DONE, LetterStatus.DISCARDED)

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "id": self.id,
            "at": rfc3339(self.at),
            "by": self.by,
            "summary": self.summary,
            "payload": dict(self.payload),
            "incident": self.incident or None,
            "webhook": self.webhook or None,
            "status": self.status.value,
            "attempts": self.attempts,
            "changedAt": to_wire(self.changed_at),
            "changedBy": self.changed_by,
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DeadLetter:
        """Read the wire form. Raises KeyError or ValueError."""
        return cls(
            id=str(data["id"]),
            at=required(data["at"]),
            by=str(data["by"]),
            summary=str(data["summary"]),
            payload=dict(data.get("payload") or {}),
            incident=str(data.get("incident") or ""),
            webhook=str(data.get("webhook") or ""),
            status=LetterStatus(data["status"]),
            attempts=int(data.get("attempts") or 1),
            changed_at=optional(data.get("changedAt")),
            changed_by=data.get("changedBy"),
            note=str(data.get("note") or ""),
        )


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the escalation ladder: who is called there, and how many lab minutes they have."""

    name: str
    person: str
    lab_minutes: float

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"name": self.name, "person": self.person, "labMinutes": self.lab_minutes}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Level:
        """Read the wire form. Raises KeyError or ValueError."""
        return cls(str(data["name"]), str(data["person"]), float(data["labMinutes"]))


@dataclass(frozen=True, slots=True)
class Handover:
    """The end of one person's duty and the beginning of another's. summary: the open work, from the book."""

    at: datetime
    giver: str
    taker: str
    note: str
    summary: str

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "at": rfc3339(self.at),
            "from": self.giver,
            "to": self.taker,
            "note": self.note,
            "summary": self.summary,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Handover:
        """Read the wire form. Raises KeyError or ValueError."""
        words = (str(data.get(key) or "") for key in ("note", "summary"))
        return cls(required(data["at"]), str(data["from"]), str(data["to"]), *words)


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """What a request with an Idempotency-Key was answered. digest: of the request; body: JSON text."""

    key: str
    digest: str
    status: int
    body: str = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The journal's form."""
        return {"key": self.key, "digest": self.digest, "status": self.status, "body": self.body}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PastAnswer:
        """Read the journal's form. Raises KeyError or ValueError."""
        return cls(str(data["key"]), str(data["digest"]), int(data["status"]), str(data["body"]))
