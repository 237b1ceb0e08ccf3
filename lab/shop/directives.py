"""What chaos.directives asks of a whole service: read several times a second, in the background."""

from __future__ import annotations

import logging

import psycopg

from lab.core.clock import Clock
from lab.shop.condition import Directive
from lab.shop.database import Database

log = logging.getLogger("shop.directives")
_EVERY_SECONDS = 0.25
_AWAY_SECONDS = 2.0


class ServiceDirectives:
    """The directives for one service. Those that could not be read again for 2 s bite no longer."""

    def __init__(self, database: Database, service: str, clock: Clock) -> None:
        self._database = database
        self._service = service
        self._clock = clock
        self._asked: tuple[Directive, ...] = ()
        self._read_at = float("-inf")

    def active(self) -> tuple[Directive, ...]:
        """Those that bite now, in the order of their identities."""
        if self._asked and self._clock.monotonic() - self._read_at > _AWAY_SECONDS:
            return ()
        return self._asked

    async def read(self) -> None:
        """Look once. Raises psycopg.Error."""
        rows = await self._database.rows(
            "SELECT id, mode, parameters FROM chaos.directives"
            " WHERE service = %s AND expires_at > clock_timestamp() ORDER BY id",
            (self._service,),
        )
        self._asked = tuple(Directive(*row) for row in rows)
        self._read_at = self._clock.monotonic()

    async def run(self) -> None:
        """Look for ever. A database that is away is asked again."""
        while True:
            try:
                await self.read()
            except psycopg.Error as error:
                log.debug("not read: %s", str(error).strip().partition("\n")[0])
            await self._clock.sleep(_EVERY_SECONDS)

    async def wait_to_start(self) -> None:
        """Return when this pod may begin: at once, unless pods of its service start slowly.

        The pod counts from now; its start is cut short when it is asked for no longer.
        """
        began = self._clock.monotonic()
        told = False
        while True:
            try:
                await self.read()
            except psycopg.Error:
                return
            asked = [d.parameters for d in self._asked if d.mode == "slow-start"]
            if self._clock.monotonic() - began >= max((float(p["seconds"]) for p in asked), default=0.0):
                return
            if not told:
                log.info("warming up")
                told = True
            await self._clock.sleep(_EVERY_SECONDS)
