"""The words of findings: lists cut short, counts, requests in one line."""

from __future__ import annotations

from collections.abc import Sequence

from lab.core.audit import AuditRecord

AUDIT = "audit.jsonl: every request through the gateway"
JOURNAL = "faults.json: what really hung"
INCIDENTS = "incidents.json: what was written on each incident"
_SHOWN = 6


def lines_of(items: Sequence[object]) -> tuple[str, ...]:
    shown = [str(item) for item in items[:_SHOWN]]
    return (*shown, f"… and {len(items) - _SHOWN} more") if len(items) > _SHOWN else tuple(shown)


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def request_line(record: AuditRecord) -> str:
    path = "/".join(part for part in (record.resource, record.name, record.subresource) if part)
    outcome = f"{record.decision} {record.code}"
    return f"#{record.seq} {record.time} {record.verb} {record.namespace}/{path}: {outcome}"
