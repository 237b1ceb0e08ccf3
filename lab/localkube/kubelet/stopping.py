"""How a container comes to its end: asked for good or for this run only, politely, and at last by SIGKILL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lab.core.clock import Clock
from lab.localkube.images.launcher import Process
from lab.localkube.kubelet.waiting import first_of

AFTER_PRE_STOP = 2.0
"""Seconds that a container has for itself even when its preStop hook used up the grace, as upstream."""

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

    @property
    def for_good(self) -> bool:
        """Whether it is not to start again."""
        return self._for_good.is_set()

    def request(self, grace: float) -> None:
        """It is to end for good within `grace` seconds. May be repeated with less grace."""
        self._deadline = min(self._deadline, self._clock.monotonic() + grace)
        self._moved.set()
        self._for_good.set()

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
        """The preStop hook, the stop signal `number`, and when the grace is over SIGKILL."""
        clock = self._clock
        limit = float("inf")
        if not self.for_good:
            limit = clock.monotonic() + (pod_grace if self._grace is None else self._grace)
        least = 0.0
        left = min(limit, self._deadline) - clock.monotonic()
        if pre_stop is not None and left > 0:
            await pre_stop(left)
            least = clock.monotonic() + AFTER_PRE_STOP
        process.signal(number)
        while not exited.done():
            self._moved.clear()
            left = max(least, min(limit, self._deadline)) - clock.monotonic()
            if left <= 0:
                process.kill()
                await exited
                return
            await first_of(clock, left, exited, self._moved.wait())
