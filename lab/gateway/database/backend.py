"""The gateway's own two connections to the database: one to act with, one to be woken by."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from lab.gateway.database.call import Call, Session

CHANNEL = "ops_requests"
MISSED = "the gateway did not take the request in time, so nothing was done"
_LOCK = 7_206_156
_LOOK_SECONDS = 1.0
_OPTIONS = "-c statement_timeout=5000 -c lock_timeout=3000 -c idle_in_transaction_session_timeout=10000"
Parameters = Sequence[Any] | Mapping[str, Any]
_CALL: LiteralString = (
    "id, verb, pid, backend_start AS started, reason, incident, dry_run, client, requested_at AS asked_at"
)


@dataclass(frozen=True, slots=True)
class Left:
    """A request that a gateway, or a connection, left behind before it was answered."""

    call: Call
    acted: bool
    done: bool
    draft: dict[str, Any]


class Backend:
    """The database as the gateway sees it. Every method raises psycopg.Error; OperationalError while the
    database is away.

    url: as the superuser who owns the schema ops. password: of the role ops.
    """

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        self._password = password
        self._acting: psycopg.AsyncConnection | None = None
        self._listening: psycopg.AsyncConnection | None = None
        self.name = ""
        """Of the database."""

    @property
    def pids(self) -> set[int]:
        """Of the gateway's own sessions."""
        return {c.info.backend_pid for c in (self._acting, self._listening) if c is not None and not c.closed}

    async def open(self) -> None:
        """Connect, be the only gateway here, and install what is not there yet."""
        await self.close()
        try:
            self._acting = acting = await self._connect()
            self.name = acting.info.dbname
            await self._be_alone(acting)
            await _install(acting, self._password)
            self._listening = await self._connect()
            await self._listening.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of both."""
        for connection in (self._acting, self._listening):
            if connection is not None:
                with contextlib.suppress(psycopg.Error):
                    await connection.close()
        self._acting = self._listening = None

    async def woken(self) -> None:
        """Return when somebody may have asked for something, after a second at the latest."""
        async for _ in self._opened(self._listening).notifies(timeout=_LOOK_SECONDS, stop_after=1):
            pass

    async def take(self) -> Call | None:
        """The oldest request that waits, or that waited too long; from now on it is ours."""
        rows = await self._rows(
            "UPDATE ops.requests SET state = CASE WHEN state = 'asked' AND expires_at > clock_timestamp()"
            " THEN 'taken' ELSE 'missed' END"
            " WHERE id = (SELECT id FROM ops.requests WHERE state IN ('asked', 'withdrawn')"
            f" ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING {_CALL}, state"
        )
        return _call(rows[0]) if rows else None

    async def left(self) -> list[Left]:
        """Requests that were taken and never answered, oldest first. Only for who has none in hand."""
        rows = await self._rows(
            f"SELECT {_CALL}, state, coalesce(done, false) AS done, draft FROM ops.requests"
            " WHERE state IN ('taken', 'missed', 'acted') ORDER BY number"
        )
        return [
            Left(_call(row), row["state"] == "acted", row["done"], json.loads(row["draft"] or "{}"))
            for row in rows
        ]

    async def look(self, pid: int) -> Session | None:
        """The session that has this pid, and whom it blocks."""
        rows = await self._rows("SELECT * FROM ops.sessions() WHERE pid = %s", (pid,))
        if not rows:
            return None
        row = rows[0]
        behind = await self._rows("SELECT pid FROM ops.sessions() WHERE %s = ANY(blocked_by)", (pid,))
        return Session(
            pid=pid,
            database=row["datname"],
            user=row["usename"] or "",
            application=row["application_name"] or "",
            kind=row["backend_type"] or "",
            started=row["backend_start"],
            columns=row,
            blocks=tuple(sorted(one["pid"] for one in behind)),
        )

    async def carry_out(self, call: Call, draft: dict[str, Any]) -> bool | None:
        """Do it, and write down that it was done, in one transaction.

        Whether the session ended within half a second, or was told to end its statement. None when it is
        gone already, or is not the one that was asked about. After an OperationalError it may have been done.
        """
        rows = await self._rows(_CARRY_OUT, {"draft": json.dumps(draft), "id": call.id})
        return bool(rows[0]["done"]) if rows else None

    async def answer(self, identity: UUID, decision: str, done: bool, message: str) -> None:
        """What the waiting client gets."""
        await self._rows(
            "UPDATE ops.requests SET state = 'answered', decision = %s, done = %s, message = %s"
            " WHERE id = %s",
            (decision, done, message, identity),
        )

    async def forget(self) -> None:
        """Remove what was answered more than ten minutes ago."""
        await self._rows(
            "DELETE FROM ops.requests WHERE state = 'answered'"
            " AND requested_at < clock_timestamp() - interval '10 minutes'"
        )

    async def _connect(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            application_name="gateway",
            connect_timeout=3,
            options=_OPTIONS,
            keepalives_idle=5,
            tcp_user_timeout=5000,
        )

    async def _be_alone(self, connection: psycopg.AsyncConnection) -> None:
        """The lock is the connection's: when its gateway dies, the server finishes what it was told, and then
        gives the lock back. So who has it sees the end of everything."""
        cursor = await connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        await cursor.fetchone()

    async def _rows(self, statement: LiteralString, parameters: Parameters = ()) -> list[dict[str, Any]]:
        cursor = self._opened(self._acting).cursor(row_factory=dict_row)
        await cursor.execute(statement, parameters or None)
        return await cursor.fetchall() if cursor.description else []

    def _opened(self, connection: psycopg.AsyncConnection | None) -> psycopg.AsyncConnection:
        if connection is None or connection.closed:
            raise psycopg.OperationalError("the gateway has no connection to the database")
        return connection


_CARRY_OUT: LiteralString = """
    WITH mine AS MATERIALIZED (
        SELECT r.id, r.verb, r.pid FROM ops.requests r
         WHERE r.id = %(id)s AND r.state = 'taken' FOR UPDATE
    ), there AS MATERIALIZED (
        SELECT mine.id, mine.verb, mine.pid
          FROM mine JOIN ops.requests r USING (id) JOIN pg_stat_activity a ON a.pid = mine.pid
         WHERE a.backend_start = r.backend_start
    ), deed AS MATERIALIZED (
        SELECT id, CASE verb WHEN 'terminate' THEN pg_terminate_backend(pid, 500)
                   ELSE pg_cancel_backend(pid) END AS done
          FROM there
    )
    UPDATE ops.requests r SET state = 'acted', draft = %(draft)s, done = deed.done
      FROM deed WHERE r.id = deed.id RETURNING r.done
"""


def _call(row: Mapping[str, Any]) -> Call:
    """state taken: it is to be decided. Any other: it is too late for that."""
    names = ("id", "verb", "pid", "started", "reason", "incident", "dry_run", "client", "asked_at")
    return Call(**{name: row[name] for name in names}, refusal=MISSED if row["state"] == "missed" else "")


@cache
def _script() -> bytes:
    return (Path(__file__).parent / "ops.sql").read_bytes()


async def _install(connection: psycopg.AsyncConnection, password: str) -> None:
    """Create the schema and the role unless this edition of them is there; set the role's password."""
    edition = f"toil-lab {hashlib.sha256(_script()).hexdigest()[:16]}"
    cursor = await connection.execute(
        "SELECT obj_description(to_regnamespace('ops'), 'pg_namespace') = %s", (edition,)
    )
    row = await cursor.fetchone()
    async with connection.transaction():
        if row is None or not row[0]:
            await connection.execute("DROP SCHEMA IF EXISTS ops CASCADE")
            await connection.execute(_script())
            await connection.execute(sql.SQL("COMMENT ON SCHEMA ops IS {}").format(edition))
        await connection.execute(sql.SQL("ALTER ROLE ops PASSWORD {}").format(password))
