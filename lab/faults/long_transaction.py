"""A decoy: a report that reads for long in one transaction. It is old, and blocks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from lab.core.fault import FaultSpec
from lab.faults.sessions import SESSIONS


class LongTransaction:
    """Read only, repeatable read, as a consistent report or dump is."""

    medium = SESSIONS
    client = "monthly-report"
    spec = FaultSpec(
        "long-transaction",
        "Decoy: a report keeps a transaction open for long; it only reads, and nobody waits for it.",
        decoy=True,
    )

    async def begin(self, session: psycopg.AsyncConnection, parameters: Mapping[str, Any]) -> None:
        """Take the snapshot that the report needs to the end."""
        await session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await session.execute("SELECT count(*), sum(amount_cents) FROM shop.orders")
