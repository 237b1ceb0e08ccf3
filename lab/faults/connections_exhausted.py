"""A batch job opens all connections that the database has left: who must connect anew, cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.sessions import SESSIONS


class ConnectionsExhausted:
    """Whoever is connected goes on; a restart of anything turns it into an outage of that part."""

    medium = SESSIONS
    client = "batch-import"
    spec = FaultSpec(
        "connections-exhausted",
        "Another client takes all connections of the database. Programs that run go on; one that is restarted"
        " cannot connect and does not become ready.",
        (
            Parameter(
                "left",
                ParameterType.INTEGER,
                "How many connections stay free.",
                default=0,
                unit="connections",
                minimum=0,
                maximum=50,
            ),
        ),
        lease_lab_minutes=10,
    )

    async def begin(self, session: psycopg.AsyncConnection, parameters: Mapping[str, Any]) -> None:
        """One of many."""
        await session.set_autocommit(True)

    async def others(self, session: psycopg.AsyncConnection, parameters: Mapping[str, Any]) -> int:
        """As many as are free now."""
        cursor = await session.execute(
            "SELECT current_setting('max_connections')::int - count(*)"
            " FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        row = await cursor.fetchone()
        return 0 if row is None else int(row[0]) - int(parameters["left"])
