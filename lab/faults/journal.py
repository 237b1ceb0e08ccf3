"""The journal: every fault's entry, written before it bites, and where the injector goes on after a restart.

It is one JSON document in ConfigMap lab-system/fault-journal, or in a file outside a cluster. It keeps all
open entries and the last `KEPT` others, so it stays far below the size limit of a ConfigMap (1 MiB).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from lab.core.clock import parse_rfc3339, rfc3339
from lab.core.fault import FaultSpec, JournalEntry
from lab.core.fault_plan import Plan
from lab.errors import ConfigError, UsageError
from lab.kube.client import KubeClient
from lab.kube.status import StatusError

NAMESPACE = "lab-system"
NAME = "fault-journal"
KEPT = 300
_KEY = "journal.json"


class JournalStore(Protocol):
    """Where the document lies. Raises ConnectionError, TimeoutError, StatusError or OSError."""

    async def load(self) -> bytes | None:
        """The document, or None before the first write."""

    async def save(self, document: bytes) -> None:
        """Replace the document; it is safe once this returns."""


class ConfigMapStore:
    """In the cluster. The injector is its only writer."""

    def __init__(self, kube: KubeClient, namespace: str = NAMESPACE) -> None:
        self._kube = kube
        self._namespace = namespace

    async def load(self) -> bytes | None:
        """Read the ConfigMap."""
        try:
            found = await self._kube.get("configmaps", NAME, self._namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        text = (found.get("data") or {}).get(_KEY)
        return text.encode() if text else None

    async def save(self, document: bytes) -> None:
        """Patch the ConfigMap, or create it."""
        data = {_KEY: document.decode()}
        try:
            await self._kube.patch("configmaps", NAME, {"data": data}, self._namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": data}
            await self._kube.create("configmaps", made, self._namespace)


class FileStore:
    """Outside a cluster: a file, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def load(self) -> bytes | None:
        """Read the file."""
        return self._path.read_bytes() if self._path.exists() else None

    async def save(self, document: bytes) -> None:
        """Write beside it and rename."""
        beside = self._path.with_suffix(".new")
        beside.write_bytes(document)
        os.replace(beside, self._path)


@dataclass(frozen=True, slots=True)
class RunningPlan:
    """A schedule that was posted. done: how many of its steps have been taken."""

    plan: Plan
    started_at: datetime
    done: int = 0


@dataclass(slots=True)
class Journal:
    """The document in memory. count: entries ever made. toil: recurring hangs so far."""

    entries: dict[str, JournalEntry] = field(default_factory=dict)
    count: int = 0
    toil: int = 0
    running: RunningPlan | None = None

    def next_id(self, fault: str) -> str:
        """The identity of the next entry; identities are never used twice."""
        self.count += 1
        return f"{fault}-{self.count:04d}"

    def put(self, *entries: JournalEntry) -> None:
        """Add entries, or replace those of the same identity."""
        for entry in entries:
            self.entries[entry.id] = entry
        closed = [entry.id for entry in self.entries.values() if not entry.open]
        for identity in closed[: max(0, len(closed) - KEPT)]:
            del self.entries[identity]

    def open(self) -> list[JournalEntry]:
        """Entries that bite, or are about to."""
        return [entry for entry in self.entries.values() if entry.open]

    def as_bytes(self) -> bytes:
        """The document."""
        running = self.running
        return orjson.dumps(
            {
                "entries": [entry.as_dict() for entry in self.entries.values()],
                "count": self.count,
                "toil": self.toil,
                "schedule": running
                and {
                    "plan": running.plan.as_dict(),
                    "startedAt": rfc3339(running.started_at),
                    "done": running.done,
                },
            }
        )

    @classmethod
    def from_bytes(cls, document: bytes | None, specs: Mapping[str, FaultSpec]) -> Journal:
        """Read the document; None gives an empty journal. Raises ConfigError on a foreign one."""
        if document is None:
            return cls()
        try:
            return cls._read(document, specs)
        except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
            raise ConfigError(
                f"the fault journal cannot be read: {error!r}", hint=f"delete ConfigMap {NAMESPACE}/{NAME}"
            ) from error

    @classmethod
    def _read(cls, document: bytes, specs: Mapping[str, FaultSpec]) -> Journal:
        data: dict[str, Any] = orjson.loads(document)
        entries = [JournalEntry.from_dict(raw) for raw in data["entries"]]
        schedule = data.get("schedule")
        running = schedule and RunningPlan(
            Plan.from_dict(schedule["plan"], specs),
            parse_rfc3339(schedule["startedAt"]),
            int(schedule["done"]),
        )
        return cls(
            {entry.id: entry for entry in entries}, int(data["count"]), int(data["toil"]), running or None
        )
