"""A queue worker: one partition each, two threads, and an HTTP port that answers whatever they do.

main thread   /healthz /readyz /metrics
lease         holds the partition, reads chaos.directives          goes on when the consumer hangs
consumer      confirms orders                                      blocks when hung
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.seed import stream
from lab.metrics.pod import run, serve
from lab.shop.cache import PriceCache
from lab.shop.clock import PodClock
from lab.shop.condition import WorkerCondition
from lab.shop.consumer import Consumer
from lab.shop.database import Database
from lab.shop.directives import ServiceDirectives
from lab.shop.journal import OrderJournal
from lab.shop.lease import Lease
from lab.shop.progress import Progress
from lab.shop.settings import ShopSettings
from lab.shop.warming import Warming

_LOOK_SECONDS = 0.1
_WARM_LOOK_SECONDS = 0.02


def application(threads_live: Callable[[], bool]) -> web.Application:
    """Liveness fails when a thread has ended by an error. One that is blocked lives."""

    async def healthz(_: web.Request) -> web.Response:
        if threads_live():
            return web.Response(text="ok\n")
        return web.Response(status=500, text="a thread has ended\n")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    return app


async def main() -> None:
    """The worker pod. Ready means: its price list is warm, and its heartbeat reaches the database.

    A hung worker is ready.
    """
    settings = ShopSettings.from_environment()
    condition, registry = WorkerCondition(), CollectorRegistry()
    clock = PodClock(condition)
    for handler in logging.getLogger().handlers:
        handler.addFilter(clock.stamp)
    progress = Progress(registry, clock)
    lease = Lease(
        settings.database_url, settings.pod, condition, progress, clock, settings.workers, settings.disk
    )
    warming = Warming(PriceCache(), registry, stream(settings.seed, "warming", settings.pod), settings.starts)
    consumer = Consumer(
        settings.database_url,
        settings.pod,
        lease,
        condition,
        progress,
        warming,
        OrderJournal(settings.disk),
        clock,
        settings.workers,
    )
    began, stop = False, asyncio.Event()

    async def work() -> None:
        nonlocal began
        database = Database(settings.database_url, f"{settings.pod}-start", clock, settings.workers)
        await ServiceDirectives(database, "worker", clock).wait_to_start()
        await database.close()
        consumer.start()
        while not warming.cache.warm:
            await clock.sleep(_WARM_LOOK_SECONDS)
        lease.start()
        began = True
        while consumer.failure is None:
            await clock.sleep(_LOOK_SECONDS)
        stop.set()

    async def background(_: web.Application) -> AsyncIterator[None]:
        working = asyncio.create_task(work())
        yield
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    app = application(lambda: not began or (lease.is_alive() and consumer.is_alive()))
    app.cleanup_ctx.append(background)
    await serve(app, port=settings.port, ready=lambda: began and lease.fresh, registry=registry, stop=stop)
    if consumer.ident is not None:
        consumer.stop()
    if began:
        lease.stop()
    if consumer.failure is not None:
        raise consumer.failure


if __name__ == "__main__":
    run(main)
