"""The audit record: one per request through the gateway. The log of these is the truth that grading reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Mode(StrEnum):
    """How far an automation is trusted: not at all, with a share of the targets, with all of them."""

    SHADOW = "shadow"
    CANARY = "canary"
    LIVE = "live"


class Decision(StrEnum):
    """What the gateway did with a request."""

    ALLOWED = "allowed"  # passed on as it came
    SHADOWED = "shadowed"  # turned into a dry run and recorded as an intent
    REFUSED = "refused"  # answered by the gateway, never passed on


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One request, as decided and answered.

    seq: strictly increasing, no gaps. time: RFC 3339, when the request arrived. actor: the authenticated
    name. verb: the Kubernetes request verb (get, list, watch, create, update, patch, delete,
    deletecollection). code: HTTP status answered, 0 when no answer went out. latency_ms: from arrival to the
    answer. diff: JSON Patch operations from the stored object to what the request makes of it; empty for
    reads. before: the stored object before a mutation (its image for a restore), or None.
    reason: the gateway's reason for a refusal. incident, note: what the client sent in the headers
    `X-Lab-Incident` and `X-Lab-Reason`, if anything. fault: name of the API fault that was applied.
    risk: the class of a mutation, reversible, disruptive or irreversible. canary: in canary mode, whether the
    target of a mutation is a `member` or `outside`. approval: id of the approval that was used. budget: which
    budget was exceeded, or would have been. All empty when they do not apply.
    """

    seq: int
    time: str
    actor: str
    mode: Mode
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    decision: Decision
    code: int
    latency_ms: float
    mutating: bool
    dry_run: bool = False
    reason: str = ""
    diff: tuple[dict[str, Any], ...] = ()
    before: dict[str, Any] | None = None
    incident: str = ""
    note: str = ""
    fault: str = ""
    user_agent: str = ""
    risk: str = ""
    canary: str = ""
    approval: str = ""
    budget: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> AuditRecord:
        """Rebuild a record from its JSON form; unknown keys are ignored."""
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        known["mode"] = Mode(known["mode"])
        known["decision"] = Decision(known["decision"])
        known["diff"] = tuple(known.get("diff") or ())
        return cls(**known)
