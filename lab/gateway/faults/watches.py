"""Watches that are open. Faults reach them while they run: they fall silent, or end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import aiohttp

from lab.core.clock import Clock
from lab.core.fault_row import FaultRow
from lab.gateway.exchange import Exchange
from lab.gateway.faults.connection import BrokenOffError, reset
from lab.gateway.faults.hit import Hit

WATCH_SILENCE = "watch-silence"
WATCH_DROP = "watch-drop"
API_OUTAGE = "api-outage"
WATCH_FAULTS = frozenset({WATCH_SILENCE, WATCH_DROP, API_OUTAGE})

Judge = Callable[[FaultRow, Exchange], Hit | None]


class _CutError(Exception):
    """The end of a watch, from outside it."""


class OpenWatch:
    """The stream of one watch. Every fault is judged once for it, when they meet."""

    def __init__(self, exchange: Exchange, upstream: aiohttp.ClientResponse, closed: Callable[[], None]):
        self.exchange = exchange
        self._upstream = upstream
        self._closed = closed
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._clean = False
        self._cut = False
        self._met: dict[str, float | None] = {}

    @property
    def content(self) -> OpenWatch:
        """The chunks."""
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Chunks as they come, as long as no fault keeps them back."""
        try:
            async for chunk in self._upstream.content.iter_any():
                if not self._flowing.is_set():
                    await self._flowing.wait()
                if self._cut:
                    break
                yield chunk
        except _CutError:
            pass
        if self._cut and not self._clean:
            reset(self.exchange.request)
            raise BrokenOffError

    def close(self) -> None:
        """Let go of the API server's side."""
        self._closed()
        self._upstream.close()

    def meet(self, row: FaultRow, judge: Judge, now: float) -> None:
        """Judge a fault once, and mark the exchange when it bites."""
        if row.id not in self._met:
            hit = judge(row, self.exchange)
            self._met[row.id] = now if hit else None
            if hit:
                hit.mark()

    def obey(self, rows: Iterable[FaultRow], now: float) -> None:
        """Be what the active faults that bite this watch make of it."""
        biting = [(row, since) for row in rows if (since := self._met.get(row.id)) is not None]
        if any(row.fault == WATCH_SILENCE for row, _ in biting):
            self._flowing.clear()
        else:
            self._flowing.set()
        for row, since in biting:
            if row.fault == API_OUTAGE:
                self._end(clean=False)
            elif row.fault == WATCH_DROP and now - since >= row.parameters["afterSeconds"]:
                self._end(clean=row.parameters["ending"] == "clean")

    def _end(self, *, clean: bool) -> None:
        if not self._cut:
            self._cut, self._clean = True, clean
            self._upstream.content.set_exception(_CutError())
            self._flowing.set()


class Watches:
    """All open watches. Without faults that concern watches they cost nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: set[OpenWatch] = set()
        self._quiet = True

    def open(
        self, exchange: Exchange, upstream: aiohttp.ClientResponse, rows: Iterable[FaultRow], judge: Judge
    ) -> OpenWatch:
        """A watch that begins, under the faults that are active."""
        watch = OpenWatch(exchange, upstream, lambda: self._open.discard(watch))
        self._open.add(watch)
        now = self._clock.monotonic()
        for row in rows:
            if row.fault in WATCH_FAULTS:
                watch.meet(row, judge, now)
        watch.obey(rows, now)
        return watch

    def sweep(self, active: Iterable[FaultRow], judge: Judge) -> None:
        """Bring the active faults to all open watches, and end what is over."""
        rows = [row for row in active if row.fault in WATCH_FAULTS]
        if not rows and self._quiet:
            return
        now = self._clock.monotonic()
        for watch in tuple(self._open):
            for row in rows:
                watch.meet(row, judge, now)
            watch.obey(rows, now)
        self._quiet = not rows
