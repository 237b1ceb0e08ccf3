"""The store: current objects and a bounded event log in SQLite, with one resource version for all.

Every write is one transaction on one connection. WAL with synchronous=NORMAL: a committed write is in the
operating system's hands, so killing the process at any moment loses nothing acknowledged; only a power cut
may lose the last moments, which a local cluster does not outlive anyway.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import orjson

from lab.kube.objects import KubeObject
from lab.localkube.store.cache import Collection, Key
from lab.localkube.store.lock import DirectoryLock
from lab.localkube.store.transaction import Transaction

RETAINED_EVENTS = 5_000
"""Watches resume within so many latest writes; older resource versions are expired."""

RETAINED_BYTES = 64 * 1024 * 1024
"""The latest writes take so much room at most; then the older half of them is forgotten, too."""

_COMPACT_EVERY = 1_000
_SIZE = "length(value) + ifnull(length(previous), 0)"
_FIRST_VERSION = 1
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Change:
    """One stored write. `object` and `previous` are shared snapshots: read only."""

    rv: int
    resource: str
    namespace: str
    name: str
    type: ChangeType
    object: KubeObject
    previous: KubeObject | None


class CompactedError(Exception):
    """The changes after a resource version are no longer kept. `oldest` is the first version that works."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"compacted up to {oldest}")
        self.oldest = oldest


class Store:
    """Objects by resource key, namespace and name. Not safe for use from more than one thread."""

    def __init__(
        self,
        directory: Path,
        *,
        retained_events: int = RETAINED_EVENTS,
        retained_bytes: int = RETAINED_BYTES,
    ) -> None:
        """Open or create the store in a directory.

        Raises lab.errors.ProviderError when another process has it open.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = DirectoryLock(directory)
        self._retained, self._retained_bytes = retained_events, retained_bytes
        self._collections: dict[str, Collection] = defaultdict(Collection)
        self._last_change: dict[str, int] = {}
        self._subscribers: list[Callable[[Change], None]] = []
        self._pending: deque[Change] = deque()
        self._publishing = False
        self._database = self._connect(directory / "store.db")
        self._load()

    def _connect(self, path: Path) -> sqlite3.Connection:
        new = not path.exists()
        database = sqlite3.connect(path, isolation_level=None)
        if new:
            path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 67108864")
        database.executescript(files(__package__).joinpath("schema.sql").read_text())
        return database

    def _load(self) -> None:
        for resource, namespace, name, value in self._database.execute(
            "SELECT resource, namespace, name, value FROM objects"
        ):
            self._collections[resource].put(namespace, name, orjson.loads(value))
        (newest,) = self._database.execute("SELECT max(rv) FROM events").fetchone()
        compacted = self._database.execute("SELECT value FROM meta WHERE name = 'compacted'").fetchone()
        (self._logged,) = self._database.execute(f"SELECT ifnull(sum({_SIZE}), 0) FROM events").fetchone()
        self._rv: int = newest or _FIRST_VERSION
        self._compacted: int = compacted[0] if compacted else 0
        for resource, rv in self._database.execute("SELECT resource, max(rv) FROM events GROUP BY resource"):
            self._last_change[resource] = rv

    @property
    def rv(self) -> int:
        """The resource version of the latest write."""
        return self._rv

    @property
    def compacted(self) -> int:
        """Changes up to this resource version are no longer kept."""
        return self._compacted

    def get(self, resource: str, namespace: str, name: str) -> KubeObject | None:
        """The current object, or None."""
        collection = self._collections.get(resource)
        return collection.get(namespace, name) if collection else None

    def values(self, resource: str, namespace: str = "", after: Key | None = None) -> Iterator[KubeObject]:
        """Current objects in key order; see `Collection.values`."""
        collection = self._collections.get(resource)
        return collection.values(namespace, after) if collection else iter(())

    def count(self, resource: str) -> int:
        """How many objects a resource has."""
        collection = self._collections.get(resource)
        return len(collection) if collection else 0

    def write(self, resource: str, namespace: str, name: str, obj: KubeObject) -> KubeObject:
        """Store an object under the next resource version, which is written into its metadata.

        The object becomes the shared snapshot: the caller must not touch it again.
        """
        previous = self.get(resource, namespace, name)
        rv = self._rv + 1
        obj["metadata"]["resourceVersion"] = str(rv)
        value = orjson.dumps(obj)
        with self._transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
                (resource, namespace, name, rv, value),
            )
            kind: ChangeType = "ADDED" if previous is None else "MODIFIED"
            self._append(rv, resource, namespace, name, kind, value, previous)
        self._collections[resource].put(namespace, name, obj)
        self._publish(Change(rv, resource, namespace, name, kind, obj, previous))
        return obj

    def remove(self, resource: str, namespace: str, name: str, last: KubeObject) -> KubeObject:
        """Delete an object; `last` is its final state, which gets the deletion's resource version."""
        previous = self.get(resource, namespace, name)
        rv = self._rv + 1
        last["metadata"]["resourceVersion"] = str(rv)
        with self._transaction():
            self._database.execute(
                "DELETE FROM objects WHERE resource = ? AND namespace = ? AND name = ?",
                (resource, namespace, name),
            )
            self._append(rv, resource, namespace, name, "DELETED", orjson.dumps(last), previous)
        self._collections[resource].remove(namespace, name)
        self._publish(Change(rv, resource, namespace, name, "DELETED", last, previous))
        return last

    def _transaction(self) -> Transaction:
        return Transaction(self._database)

    def _append(
        self,
        rv: int,
        resource: str,
        namespace: str,
        name: str,
        kind: ChangeType,
        value: bytes,
        previous: KubeObject | None,
    ) -> None:
        old = orjson.dumps(previous) if previous is not None else None
        self._database.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)",
            (rv, resource, namespace, name, kind, value, old),
        )
        self._logged += len(value) + len(old or b"")

    def _publish(self, change: Change) -> None:
        self._rv = change.rv
        self._last_change[change.resource] = change.rv
        if change.rv % _COMPACT_EVERY == 0:
            self.compact(change.rv - self._retained)
        if self._logged > self._retained_bytes:
            self.compact(self._half_way())
        self._pending.append(change)
        if not self._publishing:  # otherwise a subscriber wrote: the outer call delivers it, after this one
            self._deliver()

    def _deliver(self) -> None:
        """Give every pending change to every subscriber; the first error is raised when all have seen all."""
        failure: Exception | None = None
        self._publishing = True
        while self._pending:
            change = self._pending.popleft()
            for subscriber in tuple(self._subscribers):
                try:
                    subscriber(change)
                except Exception as error:  # one bad subscriber must not cost the others an event
                    failure = failure or error
        self._publishing = False
        if failure is not None:
            raise failure

    def _half_way(self) -> int:
        """The resource version up to which the log must go, so that half of its room is free."""
        kept = 0
        for rv, size in self._database.execute(f"SELECT rv, {_SIZE} FROM events ORDER BY rv DESC"):
            kept += size
            if kept > self._retained_bytes // 2:
                return int(rv)
        return self._compacted

    def compact(self, rv: int) -> None:
        """Forget changes up to and including a resource version; never the latest one."""
        rv = min(rv, self._rv - 1)
        if rv <= self._compacted:
            return
        with self._transaction():
            (gone,) = self._database.execute(
                f"SELECT ifnull(sum({_SIZE}), 0) FROM events WHERE rv <= ?", (rv,)
            ).fetchone()
            self._database.execute("DELETE FROM events WHERE rv <= ?", (rv,))
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (rv,))
        self._compacted = rv
        self._logged -= gone

    def changes_since(self, resource: str, rv: int) -> list[Change]:
        """The changes of a resource after a resource version, oldest first.

        Raises CompactedError when they are no longer complete.
        """
        if rv < self._compacted:
            raise CompactedError(self._compacted)
        if self._last_change.get(resource, 0) <= rv:
            return []
        rows = self._database.execute(
            "SELECT rv, namespace, name, type, value, previous FROM events "
            "WHERE resource = ? AND rv > ? ORDER BY rv",
            (resource, rv),
        )
        return [
            Change(
                at, resource, namespace, name, kind, orjson.loads(value), orjson.loads(old) if old else None
            )
            for at, namespace, name, kind, value, old in rows
        ]

    def subscribe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Call back synchronously after every write; returns the unsubscriber."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback) if callback in self._subscribers else None

    def close(self) -> None:
        """Fold the log into the database file and let the directory go. Calling it twice does no harm."""
        self._database.close()
        self._lock.release()
