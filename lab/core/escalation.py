"""Who is called: the rungs of the escalation ladder, and a hand-over to a human."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.core.clock import rfc3339
from lab.core.instants import optional, required, to_wire


@dataclass(frozen=True, slots=True)
class Rung:
    """Where on the escalation ladder a page stands.

    level: 1 is the primary on-call. name: what the level is called. person: who is on call there. since: when
    the page came to this level. exhausted_at: when the last level's time was over without an answer.
    """

    level: int
    name: str
    person: str
    since: datetime
    exhausted_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "level": self.level,
            "name": self.name,
            "person": self.person,
            "since": rfc3339(self.since),
            "exhaustedAt": to_wire(self.exhausted_at),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rung:
        """Read the wire form. Raises KeyError or ValueError when it is not one."""
        return cls(
            level=int(data["level"]),
            name=str(data["name"]),
            person=str(data["person"]),
            since=required(data["since"]),
            exhausted_at=optional(data.get("exhaustedAt")),
        )


@dataclass(frozen=True, slots=True)
class Escalation:
    """A hand-over to a human. `incident` is empty when it is about no incident; evidence is any JSON.

    acknowledged_at, acknowledged_by: who of the humans took it. ladder: whom it calls; None for one that was
    written before there was a ladder.
    """

    id: str
    at: datetime
    by: str
    summary: str
    incident: str = ""
    evidence: Any = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    ladder: Rung | None = None

    @property
    def is_open(self) -> bool:
        """Has nobody taken it yet?"""
        return self.acknowledged_at is None

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "id": self.id,
            "at": rfc3339(self.at),
            "by": self.by,
            "incident": self.incident or None,
            "summary": self.summary,
            "evidence": self.evidence,
            "acknowledgedAt": to_wire(self.acknowledged_at),
            "acknowledgedBy": self.acknowledged_by,
            "ladder": self.ladder.as_dict() if self.ladder else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Escalation:
        """Read the wire form. Raises KeyError or ValueError when it is not one."""
        ladder = data.get("ladder")
        return cls(
            id=str(data.get("id") or ""),
            at=required(data["at"]),
            by=str(data["by"]),
            summary=str(data["summary"]),
            incident=str(data.get("incident") or ""),
            evidence=data.get("evidence"),
            acknowledged_at=optional(data.get("acknowledgedAt")),
            acknowledged_by=data.get("acknowledgedBy"),
            ladder=Rung.from_dict(ladder) if ladder else None,
        )
