"""A database with the gateway's desk before it, the control in hand, and clients of all sorts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "shop"))

from shop_postgres import postgres_server

from lab.core.clock import SystemClock, TimeScale
from lab.gateway.approvals import Approvals
from lab.gateway.audit import AuditLog
from lab.gateway.control import Control
from lab.gateway.database.desk import Desk
from lab.gateway.ledger import Ledger
from lab.gateway.measures import Measures
from lab.gateway.passage import Passages
from lab.gateway.rehearsals import Rehearsals
from lab.gateway.safeguards import Safeguards
from lab.gateway.settings import GatewaySettings
from lab.gateway.sizes import Sizes
from lab.gateway.stages import Audit, CheckControl, Decide

__all__ = ["World", "module_database", "postgres_server", "world"]
SECONDS = 10.0


class World:
    """`hold` cleared: the control state is not answered; `reading` is set when somebody waits for it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.name = url.rpartition("/")[2]
        self.control: dict[str, str] = {"mode": "shadow", "killSwitch": "off"}
        self.hold, self.reading = asyncio.Event(), asyncio.Event()
        self.hold.set()
        self._file = folder / "audit.jsonl"
        self._clock = SystemClock()
        self._sessions: list[psycopg.AsyncConnection] = []
        self._running: asyncio.Task[None] | None = None
        self.book = AuditLog(self._file)

    async def start(self) -> None:
        """A gateway begins, with what its predecessor left on disk."""
        self.book.close()
        self.book = AuditLog(self._file)
        clock, measures, passages = self._clock, Measures(), Passages()
        control = Control(self._read_control, "lab-system", "control")
        rehearsals, ledger = Rehearsals(clock, 30), Ledger(clock, TimeScale(60), 5.0)
        safeguards = Safeguards(ledger, rehearsals, Approvals("", ""), Sizes(self._read_control), clock)
        control.on_stop = passages.stop
        audit = Audit(self.book, measures, rehearsals, clock)
        stages = (audit, CheckControl(control, passages, measures), Decide(self.book))
        settings = GatewaySettings(database_url=self.url, ops_password="of-ops")
        desk = Desk(settings, stages, control, passages, safeguards, self.book, ledger, clock)
        self._running = asyncio.create_task(desk.run())
        await self.until(self._is_served, True)

    async def stop(self) -> None:
        """It ends in order."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running

    async def close(self) -> None:
        """End everything."""
        self.hold.set()
        await self.stop()
        for session in self._sessions:
            await session.close()
        self.book.close()

    async def session(self, application: str, *, autocommit: bool = True) -> psycopg.AsyncConnection:
        """A client of the shop's database."""
        made = await psycopg.AsyncConnection.connect(
            self.url, application_name=application, autocommit=autocommit
        )
        self._sessions.append(made)
        return made

    async def admin(self) -> psycopg.AsyncConnection:
        """A session of the superuser, for `async with`."""
        return await psycopg.AsyncConnection.connect(self.url, autocommit=True)

    async def ops(self, **more: Any) -> psycopg.AsyncConnection:
        """A session of the role ops, for `async with`."""
        url = make_conninfo(self.url, user="ops", password="of-ops", application_name="candidate")
        return await psycopg.AsyncConnection.connect(url, autocommit=True, **more)

    async def call(self, operation: str, *arguments: Any) -> dict[str, Any]:
        """CALL a guarded operation."""
        async with await self.ops() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            marks = ", ".join(["%s"] * len(arguments))
            await cursor.execute(f"CALL ops.{operation}({marks})", arguments)  # type: ignore[call-overload]
            row = await cursor.fetchone()
            assert row is not None
            return row

    async def terminate(
        self, victim: psycopg.AsyncConnection, reason: str = "", incident: str = "", *, dry_run: bool = False
    ) -> dict[str, Any]:
        """CALL ops.terminate_backend."""
        pid = victim.info.backend_pid
        return await self.call("terminate_backend", pid, reason, incident, dry_run)

    async def cancel(self, victim: psycopg.AsyncConnection) -> dict[str, Any]:
        """CALL ops.cancel_backend."""
        return await self.call("cancel_backend", victim.info.backend_pid)

    async def seen(self, statement: str) -> list[tuple[Any, ...]]:
        """What the role ops sees."""
        async with await self.ops() as connection:
            return await (await connection.execute(statement)).fetchall()  # type: ignore[call-overload]

    async def lives(self, session: psycopg.AsyncConnection) -> bool:
        """Does the server still have it?"""
        return await self.state_of(session) is not None

    async def state_of(self, session: psycopg.AsyncConnection) -> str | None:
        """As pg_stat_activity has it."""
        async with await self.admin() as admin:
            cursor = await admin.execute(
                "SELECT state FROM pg_stat_activity WHERE pid = %s", (session.info.backend_pid,)
            )
            row = await cursor.fetchone()
            return row[0] if row else None

    def records(self) -> list[dict[str, Any]]:
        """The audit log."""
        return self.book.read()

    async def until(self, value: Callable[[], Awaitable[Any]], wanted: Any) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(SECONDS):
            while await value() != wanted:
                await asyncio.sleep(0.01)

    async def _read_control(self, path: str) -> dict[str, Any]:
        self.reading.set()
        await self.hold.wait()
        return {"data": dict(self.control)}

    async def _is_served(self) -> bool:
        async with await self.admin() as admin:
            cursor = await admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gateway'"
                " AND query LIKE 'LISTEN%' AND datname = current_database()"
            )
            row = await cursor.fetchone()
            return row is not None and row[0] == 1


@pytest.fixture(scope="module")
def module_database(postgres_server: str) -> Iterator[str]:
    """The URL of a database that the tests of a module share."""
    name = f"test_{os.urandom(6).hex()}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        yield f"{postgres_server}/{name}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


@pytest.fixture
async def world(module_database: str, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose gateway serves."""
    made = World(module_database, tmp_path)
    try:
        await made.start()
        yield made
    finally:
        await made.close()
