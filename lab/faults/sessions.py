"""The medium of database sessions: a client of the shop's database that does harm, or only looks like it.

The injector itself is the client. When it dies, the server ends its sessions and gives back their locks, so
nothing is left; its successor opens those of the open entries again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, cast, runtime_checkable

import psycopg

from lab.core.fault import FaultSpec, FaultTarget, JournalEntry
from lab.faults.fault import NAMESPACE
from lab.faults.medium import Fault, OccupiedError, Situation
from lab.faults.shop_queue import ShopQueue

SESSIONS = "sessions"
"""Name of the medium."""

_OPTIONS = "-c statement_timeout=5000 -c lock_timeout=3000"


class SessionFault(Protocol):
    """A client of the database. client: the name under which the server shows it."""

    spec: FaultSpec
    medium: str
    client: str

    async def begin(self, session: psycopg.AsyncConnection, parameters: Mapping[str, Any]) -> None:
        """Open a transaction that stays open, and take in it what it takes. It may wait 3 s for a lock."""


@runtime_checkable
class CrowdFault(Protocol):
    """A client that goes on opening connections."""

    async def others(self, session: psycopg.AsyncConnection, parameters: Mapping[str, Any]) -> int:
        """How many more it opens now."""


@dataclass(frozen=True, slots=True)
class _Open:
    session: psycopg.AsyncConnection
    pid: int
    server_started: datetime
    others: list[psycopg.AsyncConnection] = field(default_factory=list)


class SessionMedium:
    """One session of a kind at a time."""

    def __init__(self, url: str, queue: ShopQueue, faults: Mapping[str, Fault]) -> None:
        self._url = url
        self._queue = queue
        self._faults = {n: cast(SessionFault, f) for n, f in faults.items() if f.medium == SESSIONS}
        self._open: dict[str, _Open] = {}

    async def choose(
        self, fault: Fault, values: Mapping[str, Any], situation: Situation
    ) -> list[FaultTarget]:
        """The database."""
        if any(entry.fault == fault.spec.name for entry in situation.held):
            raise OccupiedError(f"the database has a {fault.spec.name} already", hint="heal it first")
        return [FaultTarget("Deployment", NAMESPACE, "db")]

    async def prepare(self, entry: JournalEntry) -> Mapping[str, Any]:
        """A session ends with its client."""
        return {}

    async def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Open the sessions."""
        for entry in entries:
            if entry.id not in self._open:
                self._open[entry.id] = await self._begin(entry)
            await self._crowd(entry)

    async def undo(self, entries: Sequence[JournalEntry]) -> None:
        """Close the sessions; what they did is rolled back."""
        for entry in entries:
            await self._close(entry.id)

    async def ended(self, entries: Sequence[JournalEntry]) -> Mapping[str, str]:
        """Those whose session somebody has ended, by itself or with the whole server."""
        ours = {entry.id: self._open[entry.id] for entry in entries if entry.id in self._open}
        if not ours:
            return {}
        started, living = await self._queue.sessions([one.pid for one in ours.values()])
        over: dict[str, str] = {}
        for identity, one in ours.items():
            if one.server_started != started:
                over[identity] = "restart"
            elif one.pid not in living:
                over[identity] = "repair"
        return over

    async def agree(self, entries: Sequence[JournalEntry]) -> None:
        """Open those of a predecessor that died; close those that no entry asks for."""
        await self.apply(entries)
        for identity in self._open.keys() - {entry.id for entry in entries}:
            await self._close(identity)

    async def close(self) -> None:
        """End them all, as the end of this process would."""
        for identity in list(self._open):
            await self._close(identity)

    async def _begin(self, entry: JournalEntry) -> _Open:
        fault = self._faults[entry.fault]
        session = await psycopg.AsyncConnection.connect(
            self._url, application_name=fault.client, connect_timeout=3, options=_OPTIONS
        )
        try:
            await fault.begin(session, entry.parameters)
            pid = session.info.backend_pid
            started, _ = await self._queue.sessions([pid])
        except BaseException:
            await session.close()
            raise
        return _Open(session, pid, started)

    async def _crowd(self, entry: JournalEntry) -> None:
        """Open what a client of many connections opens besides, as far as the server lets it."""
        fault, one = self._faults[entry.fault], self._open[entry.id]
        if not isinstance(fault, CrowdFault):
            return
        for _ in range(await fault.others(one.session, entry.parameters)):
            try:
                more = await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, application_name=fault.client, connect_timeout=3
                )
            except psycopg.OperationalError:
                return  # somebody else took the last one
            one.others.append(more)

    async def _close(self, identity: str) -> None:
        one = self._open.pop(identity, None)
        if one is not None:
            for session in (*one.others, one.session):
                with contextlib.suppress(psycopg.Error):
                    await session.close()
