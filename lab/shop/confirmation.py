"""Orders whose customers wait right now, and the one query that asks for all of them at once."""

from __future__ import annotations

import asyncio

import psycopg

from lab.core.clock import Clock
from lab.shop.database import Database

_POLL_SECONDS = 0.04


class Confirmations:
    """Wakes customers when a worker has confirmed their order. Asks the database only while one waits."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._somebody = asyncio.Event()

    async def wait(self, order: int, seconds: float) -> bool:
        """Whether the order was confirmed within that many seconds."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[order] = future
        self._somebody.set()
        try:
            await asyncio.wait_for(future, seconds)
            return True
        except TimeoutError:
            return False
        finally:
            del self._waiting[order]

    async def run(self) -> None:
        """Ask, for ever. A database that is away is asked again."""
        while True:
            if not self._waiting:
                self._somebody.clear()
                await self._somebody.wait()
            await self._clock.sleep(_POLL_SECONDS)
            try:
                rows = await self._database.rows(
                    "SELECT id FROM shop.orders WHERE id = ANY(%s) AND confirmed_at IS NOT NULL",
                    (list(self._waiting),),
                )
            except psycopg.Error:
                continue
            for (order,) in rows:
                future = self._waiting.get(order)
                if future is not None and not future.done():
                    future.set_result(None)
