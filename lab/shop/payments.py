"""The payments provider: authorizes an amount after a latency drawn from a seeded distribution."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import Clock, SystemClock
from lab.core.seed import stream
from lab.metrics import catalogue
from lab.metrics.metric import counter
from lab.metrics.pod import run, serve
from lab.shop.condition import Directive
from lab.shop.database import Database
from lab.shop.directives import ServiceDirectives
from lab.shop.provider import Provider
from lab.shop.settings import ShopSettings

_MEDIAN_SECONDS = 0.015
_SIGMA = 0.5
_LONGEST_SECONDS = 0.4


def latency(chance: random.Random) -> float:
    """Seconds that one authorization takes: log-normal, median 15 ms, at most 400 ms."""
    return min(_LONGEST_SECONDS, _MEDIAN_SECONDS * chance.lognormvariate(0.0, _SIGMA))


def application(
    chance: random.Random,
    clock: Clock,
    registry: CollectorRegistry,
    directives: Callable[[], tuple[Directive, ...]] = tuple,
) -> web.Application:
    """POST /authorize {amountCents} -> 200 {authorization}; 402 when the amount is not positive.

    directives: what bites now; then also 5xx.
    """
    payments = counter(catalogue.PAYMENTS, registry)
    for result in ("authorized", "declined", "failed"):
        payments.labels(result)
    provider = Provider(directives, clock)

    async def authorize(request: web.Request) -> web.Response:
        try:
            amount = int(orjson.loads(await request.read())["amountCents"])
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": "amountCents is missing or not a number"}, status=400)
        await clock.sleep(latency(chance))
        if refusal := await provider.meet():
            payments.labels("failed").inc()
            return web.json_response({"error": "payments cannot be taken now"}, status=refusal)
        if amount <= 0:
            payments.labels("declined").inc()
            return web.json_response({"error": "the amount must be positive"}, status=402)
        payments.labels("authorized").inc()
        return web.json_response({"authorization": f"auth-{chance.getrandbits(48):012x}"})

    app = web.Application()
    app.router.add_post("/authorize", authorize)
    return app


async def main() -> None:
    """The payments pod. The database is not its own: it only tells what is the matter with this provider."""
    settings = ShopSettings.from_environment()
    clock, registry = SystemClock(), CollectorRegistry()
    database = Database(settings.database_url, "payments", clock, settings.workers)
    directives = ServiceDirectives(database, "payments", clock)
    app = application(stream(settings.seed, "payments"), clock, registry, directives.active)
    started = asyncio.Event()

    async def background(_: web.Application) -> AsyncIterator[None]:
        following = asyncio.create_task(_follow(directives, started))
        yield
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    app.cleanup_ctx.append(background)
    await serve(app, port=settings.port, ready=started.is_set, registry=registry)
    await database.close()


async def _follow(directives: ServiceDirectives, started: asyncio.Event) -> None:
    await directives.wait_to_start()
    started.set()
    await directives.run()


if __name__ == "__main__":
    run(main)
