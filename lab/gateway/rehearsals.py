"""Dry runs of the recent past: what an irreversible action must have been once before it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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

    def note(self, record: Mapping[str, Any], ago: float = 0.0) -> None:
        """Take a record of the audit log in, `ago` real seconds old."""
        if not (record["mutating"] and record["dry_run"] and 200 <= record["code"] < 300):
            return
        key = tuple(str(record[part]) for part in _PARTS)
        self._seen.pop(key, None)
        self._seen[key] = self._clock.monotonic() - ago
        while len(self._seen) > _MOST:
            del self._seen[next(iter(self._seen))]

    def recall(self, records: Iterable[tuple[float, dict[str, Any]]]) -> None:
        """Take in what the log says: records with their age, oldest first."""
        for ago, record in records:
            self.note(record, ago)

    def had(self, actor: str, info: RequestInfo) -> bool:
        """Did the actor dry-run exactly this, recently enough?"""
        key = (actor, info.verb, info.group, info.resource, info.subresource, info.namespace, info.name)
        seen = self._seen.get(key)
        return seen is not None and self._clock.monotonic() - seen < self._keep
