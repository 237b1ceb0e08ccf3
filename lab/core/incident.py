"""An incident, and all that people and programs do about it, in the pager's wire form.

Instants are `datetime` in UTC inside and RFC 3339 on the wire; what has not happened yet is None (null).
Keys on the wire are camelCase, as Kubernetes and Alertmanager write them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from lab.core.clock import rfc3339
from lab.core.escalation import Escalation, Rung
from lab.core.instants import optional, required, to_wire

NO_ACTION = "none"
"""The action of somebody who looked and decided to do nothing."""


class IncidentStatus(StrEnum):
    """The life of an incident, in order."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Target:
    """The Kubernetes object that an action is about. Any part may be empty."""

    kind: str = ""
    namespace: str = ""
    name: str = ""

    def as_dict(self) -> dict[str, str]:
        """The wire form."""
        return {"kind": self.kind, "namespace": self.namespace, "name": self.name}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Target:
        """Read the wire form; absent parts are empty."""
        return cls(*(str(data.get(key) or "") for key in ("kind", "namespace", "name")))


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody did about an incident, or decided not to do (`action` is then `none`).

    by: who, as `human:<name>` or the automation's name. started_at to ended_at is the time it took that
    person or program: hands-on time. outcome: success, failure, or any short word.
    """

    by: str
    action: str
    started_at: datetime
    ended_at: datetime
    target: Target = field(default_factory=Target)
    reason: str = ""
    outcome: str = ""

    @property
    def seconds(self) -> float:
        """How long it took, in real seconds (>= 0)."""
        return (self.ended_at - self.started_at).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "by": self.by,
            "action": self.action,
            "target": self.target.as_dict(),
            "reason": self.reason,
            "startedAt": rfc3339(self.started_at),
            "endedAt": rfc3339(self.ended_at),
            "outcome": self.outcome,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Action:
        """Read the wire form. Raises KeyError or ValueError when it is not one."""
        return cls(
            by=str(data["by"]),
            action=str(data["action"]),
            started_at=required(data["startedAt"]),
            ended_at=required(data["endedAt"]),
            target=Target.from_dict(data.get("target") or {}),
            reason=str(data.get("reason") or ""),
            outcome=str(data.get("outcome") or ""),
        )


@dataclass(frozen=True, slots=True)
class Note:
    """A remark on an incident."""

    at: datetime
    by: str
    text: str

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"at": rfc3339(self.at), "by": self.by, "text": self.text}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Note:
        """Read the wire form. Raises KeyError or ValueError when it is not one."""
        return cls(required(data["at"]), str(data["by"]), str(data.get("text") or ""))


@dataclass(frozen=True, slots=True)
class StatusPost:
    """A post to the team channel. `incident` is empty when it is about none."""

    at: datetime
    by: str
    text: str
    incident: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {"at": rfc3339(self.at), "by": self.by, "text": self.text, "incident": self.incident or None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StatusPost:
        """Read the wire form. Raises KeyError or ValueError when it is not one."""
        return cls(required(data["at"]), str(data["by"]), str(data["text"]), str(data.get("incident") or ""))


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of the pager's history. kind: opened, reopened, acknowledged, action, note, escalated, level,
    status, resolved, webhook, approval, dead-letter, handover, ladder, silence or silenced."""

    at: datetime
    kind: str
    incident: str
    by: str
    text: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "at": rfc3339(self.at),
            "kind": self.kind,
            "incident": self.incident or None,
            "by": self.by,
            "text": self.text,
            "data": dict(self.data),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HistoryEntry:
        """Read the wire form. Raises KeyError or ValueError when it is not one."""
        return cls(
            at=required(data["at"]),
            kind=str(data["kind"]),
            incident=str(data.get("incident") or ""),
            by=str(data.get("by") or ""),
            text=str(data.get("text") or ""),
            data=dict(data.get("data") or {}),
        )


@dataclass(frozen=True, slots=True)
class Incident:
    """One episode of one alert. Its identity is `fingerprint` + `starts_at`.

    starts_at: when the alert began to fire. opened_at: when the pager heard of it. ends_at: until when the
    alert's last message keeps it firing, or when the alert ended. escalated_at: the first escalation.
    ladder: whom the page calls; None for a severity that pages nobody.
    """

    id: str
    fingerprint: str
    alertname: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    severity: str
    status: IncidentStatus
    starts_at: datetime
    opened_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    escalated_at: datetime | None = None
    ends_at: datetime | None = None
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    escalations: tuple[Escalation, ...] = ()
    ladder: Rung | None = None

    @property
    def is_open(self) -> bool:
        """Not resolved yet?"""
        return self.status is not IncidentStatus.RESOLVED

    @property
    def seconds_to_acknowledge(self) -> float | None:
        """Real seconds from opening to acknowledgement, None before it."""
        return (
            None if self.acknowledged_at is None else (self.acknowledged_at - self.opened_at).total_seconds()
        )

    @property
    def seconds_to_resolve(self) -> float | None:
        """Real seconds from opening to the end of the incident, None before it."""
        return None if self.resolved_at is None else (self.resolved_at - self.opened_at).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "id": self.id,
            "fingerprint": self.fingerprint,
            "alertname": self.alertname,
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "severity": self.severity,
            "status": self.status.value,
            "startsAt": rfc3339(self.starts_at),
            "openedAt": rfc3339(self.opened_at),
            "acknowledgedAt": to_wire(self.acknowledged_at),
            "acknowledgedBy": self.acknowledged_by,
            "resolvedAt": to_wire(self.resolved_at),
            "resolvedBy": self.resolved_by,
            "escalatedAt": to_wire(self.escalated_at),
            "endsAt": to_wire(self.ends_at),
            "actions": [action.as_dict() for action in self.actions],
            "notes": [note.as_dict() for note in self.notes],
            "escalations": [escalation.as_dict() for escalation in self.escalations],
            "ladder": self.ladder.as_dict() if self.ladder else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Incident:
        """Read the wire form; unknown keys are ignored. Raises KeyError or ValueError when it is not one."""
        return cls(
            id=str(data["id"]),
            fingerprint=str(data["fingerprint"]),
            alertname=str(data["alertname"]),
            labels=dict(data.get("labels") or {}),
            annotations=dict(data.get("annotations") or {}),
            severity=str(data.get("severity") or ""),
            status=IncidentStatus(data["status"]),
            starts_at=required(data["startsAt"]),
            opened_at=required(data["openedAt"]),
            acknowledged_at=optional(data.get("acknowledgedAt")),
            acknowledged_by=data.get("acknowledgedBy"),
            resolved_at=optional(data.get("resolvedAt")),
            resolved_by=data.get("resolvedBy"),
            escalated_at=optional(data.get("escalatedAt")),
            ends_at=optional(data.get("endsAt")),
            actions=tuple(Action.from_dict(item) for item in data.get("actions") or ()),
            notes=tuple(Note.from_dict(item) for item in data.get("notes") or ()),
            escalations=tuple(Escalation.from_dict(item) for item in data.get("escalations") or ()),
            ladder=Rung.from_dict(data["ladder"]) if data.get("ladder") else None,
        )
