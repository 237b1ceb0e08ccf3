"""A request to do one risky thing once, and a human's answer to it.

pending ──► approved ──► used
   │  └───► refused  └─► expired
   └──────► expired
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from lab.core.clock import rfc3339
from lab.core.instants import optional, required, to_wire


class ApprovalStatus(StrEnum):
    """The life of an approval."""

    PENDING = "pending"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    USED = "used"


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be done: a verb of the Kubernetes API on one object. group is "" for the core group; name is
    "" where the request has none."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        kind = "/".join(part for part in (self.resource, self.subresource) if part)
        where = "/".join(part for part in (self.namespace, self.name) if part)
        return f"{self.verb} {kind}{'.' + self.group if self.group else ''} {where or '(all)'}"


@dataclass(frozen=True, slots=True)
class Approval:
    """One request and its answer.

    restore_point: how the former state can be had again, in words or as a reference. expires_at: while it is
    pending, until when it can be decided; once approved, until when it can be used; then it stays as it was.
    """

    id: str
    status: ApprovalStatus
    requested_by: str
    requested_at: datetime
    deed: Deed
    reason: str
    restore_point: str
    expires_at: datetime
    incident: str = ""
    decided_by: str | None = None
    decided_at: datetime | None = None
    note: str = ""
    used_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """The wire form."""
        return {
            "id": self.id,
            "status": self.status.value,
            "requestedBy": self.requested_by,
            "requestedAt": rfc3339(self.requested_at),
            "verb": self.deed.verb,
            "group": self.deed.group,
            "resource": self.deed.resource,
            "subresource": self.deed.subresource,
            "namespace": self.deed.namespace,
            "name": self.deed.name,
            "reason": self.reason,
            "restorePoint": self.restore_point,
            "incident": self.incident or None,
            "decidedBy": self.decided_by,
            "decidedAt": to_wire(self.decided_at),
            "note": self.note,
            "expiresAt": rfc3339(self.expires_at),
            "usedAt": to_wire(self.used_at),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Approval:
        """Read the wire form; unknown keys are ignored. Raises KeyError or ValueError when it is not one."""
        parts = ("verb", "group", "resource", "subresource", "namespace", "name")
        return cls(
            id=str(data["id"]),
            status=ApprovalStatus(data["status"]),
            requested_by=str(data["requestedBy"]),
            requested_at=required(data["requestedAt"]),
            deed=Deed(*(str(data.get(part) or "") for part in parts)),
            reason=str(data.get("reason") or ""),
            restore_point=str(data.get("restorePoint") or ""),
            expires_at=required(data["expiresAt"]),
            incident=str(data.get("incident") or ""),
            decided_by=data.get("decidedBy"),
            decided_at=optional(data.get("decidedAt")),
            note=str(data.get("note") or ""),
            used_at=optional(data.get("usedAt")),
        )
