"""The customers: an open-loop load generator. Arrivals are a Poisson process, whatever the answers."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator

import aiohttp
import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import Clock, SystemClock
from lab.core.seed import stream
from lab.core.staffing import PARTITIONS
from lab.metrics import catalogue
from lab.metrics.metric import counter, histogram
from lab.metrics.pod import run, serve
from lab.shop.settings import ShopSettings, partition_of, shares

log = logging.getLogger("shop.load")
_TIMEOUT = aiohttp.ClientTimeout(total=4.0)
_MOST_IN_FLIGHT = 400
_CUSTOMERS_PER_PARTITION = 12


def customers(partitions: int = PARTITIONS) -> list[list[str]]:
    """Some customers of each partition, the same everywhere."""
    found: list[list[str]] = [[] for _ in range(partitions)]
    number = 0
    while min(map(len, found)) < _CUSTOMERS_PER_PARTITION:
        name = f"customer-{number:04d}"
        place = found[partition_of(name, partitions)]
        if len(place) < _CUSTOMERS_PER_PARTITION:
            place.append(name)
        number += 1
    return found


def arrivals(
    chance: random.Random, per_second: float, partitions: int = PARTITIONS
) -> Iterator[tuple[float, str, int]]:
    """Orders without end: (seconds after the one before, customer, amount in cents)."""
    known, weights = customers(partitions), shares(partitions)
    while True:
        gap = chance.expovariate(per_second)
        (partition,) = chance.choices(range(partitions), weights)
        yield gap, chance.choice(known[partition]), chance.randint(300, 20_000)


class Load:
    """Sends orders to the api and measures what customers get."""

    def __init__(self, settings: ShopSettings, clock: Clock, registry: CollectorRegistry) -> None:
        self._api = settings.api_url
        self._clock = clock
        self._arrivals = arrivals(stream(settings.seed, "load"), settings.orders_per_second, settings.workers)
        self._requests = counter(catalogue.LOAD_REQUESTS, registry)
        self._latency = histogram(catalogue.LOAD_LATENCY, registry)
        self._in_flight: set[asyncio.Task[None]] = set()

    async def background(self, _: web.Application) -> AsyncIterator[None]:
        """aiohttp cleanup context."""
        session = aiohttp.ClientSession(
            timeout=_TIMEOUT, trust_env=False, connector=aiohttp.TCPConnector(limit=0)
        )
        running = asyncio.create_task(self._run(session))
        yield
        running.cancel()
        for task in self._in_flight:
            task.cancel()
        await asyncio.gather(running, *self._in_flight, return_exceptions=True)
        await session.close()

    async def _run(self, session: aiohttp.ClientSession) -> None:
        await self._opening(session)
        due = self._clock.monotonic()
        for gap, customer, amount in self._arrivals:
            due = max(due + gap, self._clock.monotonic() - 1.0)
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            if len(self._in_flight) >= _MOST_IN_FLIGHT:
                self._requests.labels("error").inc()
                continue
            body = orjson.dumps({"customer": customer, "amountCents": amount})
            task = asyncio.create_task(self._send(session, body))
            self._in_flight.add(task)
            task.add_done_callback(self._in_flight.discard)

    async def _opening(self, session: aiohttp.ClientSession) -> None:
        """Return when the api is ready: customers come once the shop has opened."""
        while True:
            try:
                async with session.get(f"{self._api}/readyz") as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            await self._clock.sleep(0.2)

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> None:
        started = self._clock.monotonic()
        try:
            async with session.post(f"{self._api}/orders", data=body) as answer:
                await answer.read()
                code = str(answer.status)
        except TimeoutError:
            code = "timeout"
        except (aiohttp.ClientError, OSError):
            code = "error"
        self._requests.labels(code).inc()
        self._latency.observe(self._clock.monotonic() - started)


async def main() -> None:
    """The load pod."""
    settings = ShopSettings.from_environment()
    registry = CollectorRegistry()
    load = Load(settings, SystemClock(), registry)
    app = web.Application()
    app.cleanup_ctx.append(load.background)
    await serve(app, port=settings.port, registry=registry)


if __name__ == "__main__":
    run(main)
