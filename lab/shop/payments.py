"""The payments provider: authorizes an amount after a latency drawn from a seeded distribution."""

from __future__ import annotations

import random

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import Clock, SystemClock
from lab.core.seed import stream
from lab.metrics import catalogue
from lab.metrics.metric import counter
from lab.metrics.pod import run, serve
from lab.shop.settings import ShopSettings

_MEDIAN_SECONDS = 0.015
_SIGMA = 0.5
_LONGEST_SECONDS = 0.4


def latency(chance: random.Random) -> float:
    """Seconds that one authorization takes: log-normal, median 15 ms, at most 400 ms."""
    return min(_LONGEST_SECONDS, _MEDIAN_SECONDS * chance.lognormvariate(0.0, _SIGMA))


def application(chance: random.Random, clock: Clock, registry: CollectorRegistry) -> web.Application:
    """POST /authorize {amountCents} -> 200 {authorization}; 402 when the amount is not positive."""
    payments = counter(catalogue.PAYMENTS, registry)

    async def authorize(request: web.Request) -> web.Response:
        try:
            amount = int(orjson.loads(await request.read())["amountCents"])
        except (ValueError, KeyError, TypeError):
            return web.json_response({"error": "amountCents is missing or not a number"}, status=400)
        await clock.sleep(latency(chance))
        if amount <= 0:
            payments.labels("declined").inc()
            return web.json_response({"error": "the amount must be positive"}, status=402)
        payments.labels("authorized").inc()
        return web.json_response({"authorization": f"auth-{chance.getrandbits(48):012x}"})

    app = web.Application()
    app.router.add_post("/authorize", authorize)
    return app


async def main() -> None:
    """The payments pod."""
    settings = ShopSettings.from_environment()
    registry = CollectorRegistry()
    app = application(stream(settings.seed, "payments"), SystemClock(), registry)
    await serve(app, port=settings.port, registry=registry)


if __name__ == "__main__":
    run(main)
