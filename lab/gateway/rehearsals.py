"""Dry runs of the recent past: what an irreversible action must have been once before it is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.core.audit import AuditRecord
from lab.core.clock import Clock
from lab.kube.request import RequestInfo

_MOST = 10_000
_PARTS = ("actor", "verb", "group", "resource", "subresource", "namespace", "name")


class Rehearsals:
    """Remembers successful dry runs, also those of shadow mode, for `keep_seconds` real seconds."""

    def __init__(self, clock: Clock, keep_seconds: float) -> None:
        self._clock = clock
        self._keep = keep_seconds
        self._seen: dict[tuple[str, ...], float] = {}

    def note(self, record: AuditRecord) -> None:
        """Take a new record of the audit log in."""
        if record.mutating and record.dry_run and 200 <= record.code < 300:
            self._keep_in_mind(tuple(getattr(record, part) for part in _PARTS), 0.0)

    def recall(self, records: Iterable[tuple[float, dict[str, Any]]]) -> None:
        """Take in what the log says: records with their age, oldest first."""
        for ago, record in records:
            if record["mutating"] and record["dry_run"] and 200 <= record["code"] < 300:
                self._keep_in_mind(tuple(str(record[part]) for part in _PARTS), ago)

    def had(self, actor: str, info: RequestInfo) -> bool:
        """Did the actor dry-run exactly this, recently enough?"""
        key = (actor, info.verb, info.group, info.resource, info.subresource, info.namespace, info.name)
        seen = self._seen.get(key)
        return seen is not None and self._clock.monotonic() - seen < self._keep

    def _keep_in_mind(self, key: tuple[str, ...], ago: float) -> None:
        self._seen.pop(key, None)
        self._seen[key] = self._clock.monotonic() - ago
        while len(self._seen) > _MOST:
            del self._seen[next(iter(self._seen))]
