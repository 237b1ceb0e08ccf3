"""Another team's batch job on the shop's node: takes all the processor time that it can get.

    one process serves /metrics, n × processors compress noise, each in a session of its own

Of its own because Linux may share processors out by session (autogroup): as one session, however many they
are, they would take no more than any single pod. It is not part of the shop; the fault `noisy-neighbour`
brings it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence

import psutil
from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock
from lab.errors import ConfigError
from lab.metrics import catalogue
from lab.metrics.metric import counter
from lab.metrics.pod import run, serve
from lab.shop.settings import ShopSettings

PER_PROCESSOR = "PROCESSES_PER_PROCESSOR"
MOST_PROCESSES = 256
_BLOCK = 65_536
_COUNT_SECONDS = 1.0


def processors() -> int:
    """How many this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processes(env: Mapping[str, str], processors: int) -> int:
    """How many to start, at most `MOST_PROCESSES`. Raises ConfigError when the setting is no such number."""
    text = env.get(PER_PROCESSOR) or "1"
    if not text.isdecimal() or not 1 <= int(text) <= MOST_PROCESSES:
        raise ConfigError(
            "the pod's environment is not valid",
            [f"{PER_PROCESSOR} is a whole number from 1 to {MOST_PROCESSES}, not {text!r}"],
        )
    return min(MOST_PROCESSES, int(text) * processors)


def start(count: int) -> list[int]:
    """Start so many; their pids. Each ends by itself once this process is gone."""
    parent, noise = os.getpid(), os.urandom(_BLOCK)
    started = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            gc.disable()
            os.setsid()
            while os.getppid() == parent:
                zlib.compress(noise, 9)
            os._exit(0)
        started.append(pid)
    return started


def used(pids: Sequence[int]) -> float:
    """Processor seconds that these have had so far."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


async def main() -> None:
    """The pod: its first process counts what the others use, and ends them when it ends."""
    settings, registry, clock = ShopSettings.from_environment(), CollectorRegistry(), SystemClock()
    seconds = counter(catalogue.ANALYTICS_CPU, registry)
    pids = start(processes(os.environ, processors()))

    async def count() -> None:
        before = 0.0
        while True:
            now = max(before, used(pids))
            seconds.inc(now - before)
            before = now
            await clock.sleep(_COUNT_SECONDS)

    async def background(_: web.Application) -> AsyncIterator[None]:
        counting = asyncio.create_task(count())
        yield
        counting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await counting

    app = web.Application()
    app.cleanup_ctx.append(background)
    try:
        await serve(app, port=settings.port, registry=registry)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    run(main)
