"""A forgotten session holds a lock, idle in its transaction; everybody who writes queues behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from lab.core.fault import FaultSpec, Parameter, ParameterType
from lab.faults.fault import PARTITION
from lab.faults.medium import NoVictimError
from lab.faults.sessions import SESSIONS


class LockPileUp:
    """On the orders as a whole, or on one partition's row, which its worker's lease needs."""

    medium = SESSIONS
    client = "psql"
    spec = FaultSpec(
        "lock-pile-up",
        "A session that is idle in its transaction holds a lock that every order needs, or one partition's"
        " worker; ending that session mends it.",
        (
            Parameter(
                "partition",
                ParameterType.INTEGER,
                "Only this partition's row is locked; without it, writing to all orders is.",
                unit="partition",
                minimum=0,
                maximum=PARTITION.maximum,
            ),
        ),
        on="partition",
    )

    async def begin(self, session: psycopg.AsyncConnection, parameters: Mapping[str, Any]) -> None:
        """Take the lock and sit on it."""
        partition = parameters.get("partition")
        if partition is None:
            await session.execute("LOCK TABLE shop.orders IN SHARE MODE")
        else:
            locked = await session.execute(  # orders refer to the row, so FOR UPDATE would stop them as well
                "SELECT partition FROM shop.partitions WHERE partition = %s FOR NO KEY UPDATE", (partition,)
            )
            if locked.rowcount != 1:
                raise NoVictimError(f"there is no partition {partition}")
