"""How a container comes to its end: asked for good or for this run only, politely, and at last by SIGKILL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lab.core.clock import Clock
from lab.localkube.images.launcher import Process
from lab.localkube.kubelet.waiting import first_of

LEAST_AFTER_WAITING = 2.0
"""Seconds that a container has for itself even when its preStop hook, or others, used up the grace."""

PreStop = Callable[[float], Awaitable[None]]
"""Run the preStop hook, at most that many seconds."""


class Stopping:
    """What is wanted of one container, and the end of a process that is to obey."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._for_good = asyncio.Event()
        self._deadline = float("inf")
        self._moved = asyncio.Event()
        self._condemned = asyncio.Event()
        self._grace: float | None = None
        self._turn = asyncio.Event()
        self._turn.set()

    @property
    def for_good(self) -> bool:
        """Whether it is not to start again."""
        return self._for_good.is_set()

    @property
    def begun(self) -> bool:
        """Whether this run is to end."""
        return self._for_good.is_set() or self._condemned.is_set()

    def request(self, grace: float, *, in_turn: bool = False) -> None:
        """It is to end for good within `grace` seconds. May be repeated with less grace.

        in_turn: no signal before `allow`, as long as the grace lasts; others are to end first.
        """
        if in_turn and not self.for_good:
            self._turn.clear()
        self._deadline = min(self._deadline, self._clock.monotonic() + grace)
        self._moved.set()
        self._for_good.set()

    def allow(self) -> None:
        """Its turn has come."""
        self._turn.set()

    def condemn(self, grace: float | None) -> None:
        """This run is to end, within `grace` seconds or the pod's own grace period when None."""
        self._grace = grace
        self._condemned.set()

    def begin_run(self) -> None:
        """A new run is not condemned."""
        self._condemned.clear()
        self._grace = None

    async def requested(self) -> None:
        """Wait until it is to end for good."""
        await self._for_good.wait()

    async def wanted(self, exited: asyncio.Future[int]) -> None:
        """Wait until the process has ended, or is to end."""
        await first_of(self._clock, None, exited, self._for_good.wait(), self._condemned.wait())

    async def end(
        self,
        process: Process,
        exited: asyncio.Future[int],
        number: int,
        pod_grace: float,
        pre_stop: PreStop | None,
    ) -> None:
        """The preStop hook, its turn, the stop signal `number`, and when the grace is over SIGKILL."""
        clock = self._clock
        limit = float("inf")
        if not self.for_good:
            limit = clock.monotonic() + (pod_grace if self._grace is None else self._grace)
        waited = not self._turn.is_set()
        left = min(limit, self._deadline) - clock.monotonic()
        if pre_stop is not None and left > 0:
            await pre_stop(left)
            waited = True
        await self._until(limit, exited, self._turn)
        least = clock.monotonic() + LEAST_AFTER_WAITING if waited else 0.0
        process.signal(number)
        if not await self._until(limit, exited, None, least):
            process.kill()
            await exited

    async def _until(
        self, limit: float, exited: asyncio.Future[int], event: asyncio.Event | None, least: float = 0.0
    ) -> bool:
        """Wait for the process's end or the event; False when the grace was over before."""
        while not exited.done() and not (event and event.is_set()):
            self._moved.clear()
            left = max(least, min(limit, self._deadline)) - self._clock.monotonic()
            if left <= 0:
                return False
            waits = [event.wait()] if event else []
            await first_of(self._clock, left, exited, self._moved.wait(), *waits)
        return True
