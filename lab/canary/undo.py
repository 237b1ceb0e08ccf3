"""What a record of the audit log did to an object, and whether it can be taken back: pure.

Only what really happened counts: a mutation that was let through, was no dry run, and did not fail. A record
without an answer, or with a 5xx, may or may not have happened; it is compared with what is there now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from lab.canary.merge import apply_diff, wanted
from lab.core.audit import AuditRecord, Decision
from lab.kube.objects import KubeObject

_BOOKKEEPING = frozenset({("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")})


class Kind(StrEnum):
    """What was done to an object."""

    MODIFIED = "modified"
    CREATED = "created"
    DELETED = "deleted"
    UNCERTAIN = "uncertain"  # the answer was lost
    LOST = "lost"  # it happened, and cannot be taken back
    NOTHING = "nothing"  # nothing that needs taking back


class Target(NamedTuple):
    """An object: group, plural, namespace, name."""

    group: str
    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        plural = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{plural} {self.namespace}/{self.name}" if self.namespace else f"{plural} {self.name}"


@dataclass(frozen=True, slots=True)
class Change:
    """One record's effect. before, after: what was wanted of the object then; only for `MODIFIED` the latter,
    and the whole object as it was made for `CREATED`. image: the whole object before. reason: for `LOST` and
    `NOTHING`. agent: the client program, as field managers are named.
    partial: before and after are not the whole object, only the fields that were changed."""

    seq: int
    time: str
    verb: str
    target: Target
    kind: Kind
    before: KubeObject | None = None
    after: KubeObject | None = None
    image: KubeObject | None = None
    reason: str = ""
    agent: str = ""
    partial: bool = False


def acted(record: AuditRecord) -> bool:
    """Whether the request changed something, or may have."""
    ended = record.code < 400 or _unanswered(record)
    return record.mutating and record.decision is Decision.ALLOWED and not record.dry_run and ended


def changes(records: Iterable[AuditRecord]) -> list[Change]:
    """The effects of the records that acted, in their order."""
    return [
        change_of(record)
        for record in records
        if acted(record) and (record.group, record.resource) not in _BOOKKEEPING
    ]


def change_of(record: AuditRecord) -> Change:
    """What one record that acted did."""
    target = Target(record.group, record.resource, record.namespace, record.name)
    kind, more = _read(record)
    agent = record.user_agent.partition("/")[0]
    return Change(
        record.seq, record.time, record.verb, target, kind, image=record.before, agent=agent, **more
    )


def _unanswered(record: AuditRecord) -> bool:
    """Nobody was told how it ended. With a diff the gateway knew."""
    return record.code == 0 or record.code >= 500


def _lost(reason: str) -> tuple[Kind, dict[str, Any]]:
    return Kind.LOST, {"reason": reason}


def _read(record: AuditRecord) -> tuple[Kind, dict[str, Any]]:
    before, ending = record.before, record.verb == "delete" or record.subresource == "eviction"
    if record.resource == "secrets":
        return _lost("the audit log masks the values of Secrets")
    if record.verb == "deletecollection":
        return _lost("of a collection the audit log keeps only the names")
    if record.subresource == "status":
        return Kind.NOTHING, {"reason": "a status is written anew by whoever controls the object"}
    if record.subresource not in ("", "scale", "eviction"):
        return _lost(f"what {record.verb} of {record.subresource} did is not in the audit log")
    if before is not None and "cut" in before:
        return _lost(f"the image before it is {before['cut']}")
    if _unanswered(record) and not record.diff:
        return Kind.UNCERTAIN, {"before": None if before is None else wanted(before)}
    if ending:
        return (Kind.DELETED, {}) if before is not None else _lost("there is no image of the deleted object")
    if any(operation.get("op") == "test" for operation in record.diff):
        return _lost("its diff was too large for the audit log")
    if before is None:
        return _created(record)
    if record.subresource == "scale":
        return _scaled(record, before)
    try:
        after = apply_diff(before, record.diff)
    except ValueError as error:
        return _lost(str(error))
    return Kind.MODIFIED, {"before": wanted(before), "after": wanted(after)}


def _created(record: AuditRecord) -> tuple[Kind, dict[str, Any]]:
    made = record.diff[0].get("value") if record.diff else None
    is_new = record.code == 201 or (_unanswered(record) and record.verb == "create")
    if not is_new or not isinstance(made, dict):  # without rights to read there is no image either
        return _lost("there is no image of the object before it")
    return Kind.CREATED, {"after": made}


def _scaled(record: AuditRecord, before: KubeObject) -> tuple[Kind, dict[str, Any]]:
    try:
        after = apply_diff(before, record.diff)
    except ValueError as error:
        return _lost(str(error))
    counts = [
        {"spec": {"replicas": (scale.get("spec") or {}).get("replicas") or 0}} for scale in (before, after)
    ]
    return Kind.MODIFIED, {"before": counts[0], "after": counts[1], "partial": True}
