"""The shop's PostgreSQL: connections that come back after the server was away, and the schema."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from lab.core.clock import Clock
from lab.core.staffing import PARTITIONS
from lab.shop.settings import shares

log = logging.getLogger("shop.database")
_RETRY_SECONDS = 0.1
_SCHEMA_LOCK = 7_206_154
_OPTIONS = "-c statement_timeout=5000 -c idle_in_transaction_session_timeout=10000"
Row = tuple[Any, ...]


def _arguments(application: str) -> dict[str, Any]:
    return {
        "autocommit": True,
        "application_name": application,
        "connect_timeout": 3,
        "options": _OPTIONS,
        "keepalives_idle": 5,
        "tcp_user_timeout": 5000,
    }


@cache
def _schema() -> bytes:
    return (Path(__file__).parent / "schema.sql").read_bytes()


def connect(url: str, application: str, partitions: int = PARTITIONS) -> psycopg.Connection:
    """A blocking connection in autocommit mode, for a worker's threads.

    The schema is there afterwards, with so many partitions if it was made now.
    Raises psycopg.OperationalError when the server cannot be reached.
    """
    connection = psycopg.connect(url, **_arguments(application))
    try:
        if _lacks_schema(connection.execute(_HAS_SCHEMA).fetchone()):
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
                connection.execute(_schema())
                connection.execute(_FILL, (list(shares(partitions)),))
    except psycopg.Error:
        connection.close()
        raise
    return connection


_HAS_SCHEMA: LiteralString = (
    "SELECT to_regclass('chaos.directives') IS NOT NULL AND to_regclass('shop.partitions') IS NOT NULL"
)
_FILL: LiteralString = """
    INSERT INTO shop.partitions (partition, share)
    SELECT place - 1, share FROM unnest(%s::float8[]) WITH ORDINALITY AS given(share, place)
    ON CONFLICT DO NOTHING
"""


def _lacks_schema(row: Row | None) -> bool:
    return row is None or not row[0]


class Database:
    """One asynchronous connection, opened when first needed and again after it broke.

    Statements of several tasks take turns on it. Every method raises psycopg.Error: OperationalError while
    the server is away.
    """

    def __init__(self, url: str, application: str, clock: Clock, partitions: int = PARTITIONS) -> None:
        self._url = url
        self._partitions = partitions
        self._application = application
        self._clock = clock
        self._connection: psycopg.AsyncConnection | None = None
        self._opening = asyncio.Lock()

    async def wait_ready(self) -> None:
        """Return when the server answers and has the schema, however long that takes."""
        told = False
        while True:
            try:
                await self.rows("SELECT 1")
                return
            except psycopg.Error as error:
                if not told:
                    log.info("waiting for the database: %s", str(error).strip().partition("\n")[0])
                    told = True
                await self._clock.sleep(_RETRY_SECONDS)

    async def rows(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> list[Row]:
        """Run one statement in a transaction of its own; its rows, none when it returns nothing."""
        connection = await self._open()
        cursor = await connection.execute(statement, parameters or None)
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        """Give the connection back; the next statement opens another."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _open(self) -> psycopg.AsyncConnection:
        async with self._opening:
            if self._connection is None or self._connection.closed:
                connection = await psycopg.AsyncConnection.connect(self._url, **_arguments(self._application))
                try:
                    await _prepare(connection, self._partitions)
                except BaseException:
                    await connection.close()
                    raise
                self._connection = connection
            return self._connection


async def _prepare(connection: psycopg.AsyncConnection, partitions: int) -> None:
    """Create the schema unless it is there. Only one pod does it at a time."""
    cursor = await connection.execute(_HAS_SCHEMA)
    if _lacks_schema(await cursor.fetchone()):
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
            await connection.execute(_schema())
            await connection.execute(_FILL, (list(shares(partitions)),))
