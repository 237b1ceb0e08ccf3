"""The shop's HTTP API: a customer orders, payments authorizes, a worker confirms.

POST /orders {customer, amountCents}  201 {id, state: confirmed}   a worker confirmed it in time
                                      202 {id, state: waiting}     it is queued; ask again
                                      400 the request is wrong     402 the payment was declined
                                      500 this release of the api has a defect
                                      502 payments does not answer 503 the database does not
GET /orders/{id}                      200 {id, customer, partition, state, createdAt, confirmedAt}
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import psycopg
from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import Clock, SystemClock, rfc3339
from lab.core.staffing import PARTITIONS
from lab.metrics import catalogue
from lab.metrics.metric import counter, histogram
from lab.metrics.pod import run, serve
from lab.shop.confirmation import Confirmations
from lab.shop.database import Database
from lab.shop.dead_letters import DeadLetters
from lab.shop.directives import ServiceDirectives
from lab.shop.queue import QueueGauges
from lab.shop.release import FAILING, Defect
from lab.shop.settings import CONFIRMATION_WAIT_SECONDS, ShopSettings, partition_of

_PAYMENT_TIMEOUT = aiohttp.ClientTimeout(total=1.0)


class _Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class OrdersApi:
    """The handlers, and the background work that they need."""

    def __init__(
        self,
        database: Database,
        reader: Database,
        payments_url: str,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        defect: Defect | None = None,
        partitions: int = PARTITIONS,
    ) -> None:
        """`reader` is a second connection, so that a customer never waits behind the gauges."""
        self._defect = defect
        self._partitions = partitions
        self._database = database
        self._payments_url = payments_url
        self._clock = clock
        self._reader = reader
        self._confirmations = Confirmations(reader, clock)
        self.gauges = QueueGauges(reader, clock, registry)
        self._orders = counter(catalogue.ORDERS, registry)
        for result in ("confirmed", "late", "failed"):
            self._orders.labels(result)
        self.dead_letters = DeadLetters(database)
        self.stop = asyncio.Event()
        self._latency = histogram(catalogue.ORDER_CONFIRMATION, registry)

    async def create(self, request: web.Request) -> web.Response:
        """POST /orders."""
        customer, amount = await _read_order(request)
        started = self._clock.monotonic()
        try:
            await self._meet_defect(customer)
            authorization = await self._authorize(request.app[_SESSION], amount)
            order = await self._insert(customer, amount, authorization)
        except _Refused as refused:
            if refused.status >= 500:
                self._orders.labels("failed").inc()
                self._latency.observe(CONFIRMATION_WAIT_SECONDS)
            return web.json_response({"error": str(refused)}, status=refused.status)
        left = CONFIRMATION_WAIT_SECONDS - (self._clock.monotonic() - started)
        confirmed = await self._confirmations.wait(order, max(0.0, left))
        self._orders.labels("confirmed" if confirmed else "late").inc()
        self._latency.observe(self._clock.monotonic() - started if confirmed else CONFIRMATION_WAIT_SECONDS)
        body = {"id": order, "state": "confirmed" if confirmed else "waiting"}
        return web.json_response(body, status=201 if confirmed else 202)

    async def show(self, request: web.Request) -> web.Response:
        """GET /orders/{id}."""
        try:
            rows = await self._database.rows(
                "SELECT id, customer, partition, created_at, confirmed_at FROM shop.orders WHERE id = %s",
                (int(request.match_info["id"]),),
            )
        except (psycopg.DataError, psycopg.OperationalError) as error:
            out_of_range = isinstance(error, psycopg.DataError)
            return web.json_response(
                {"error": "no such order" if out_of_range else "the database is away"},
                status=404 if out_of_range else 503,
            )
        if not rows:
            return web.json_response({"error": "no such order"}, status=404)
        identity, customer, partition, created, confirmed = rows[0]
        return web.json_response(
            {
                "id": identity,
                "customer": customer,
                "partition": partition,
                "state": "confirmed" if confirmed else "waiting",
                "createdAt": rfc3339(created),
                "confirmedAt": rfc3339(confirmed) if confirmed else None,
            }
        )

    async def background(self, app: web.Application) -> AsyncIterator[None]:
        """aiohttp cleanup context: the HTTP client, the confirmations, the gauges."""
        app[_SESSION] = aiohttp.ClientSession(timeout=_PAYMENT_TIMEOUT, trust_env=False)
        tasks = [asyncio.create_task(work()) for work in (self._confirmations.run, self._open)]
        for task in tasks:
            task.add_done_callback(lambda _: self.stop.set())  # a pod that cannot work ends
        yield
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await app[_SESSION].close()

    async def _open(self) -> None:
        """The gauges, and with them readiness, once this pod may begin."""
        await ServiceDirectives(self._reader, "api", self._clock).wait_to_start()
        await self.gauges.run()

    async def _meet_defect(self, customer: str) -> None:
        if self._defect is None or not self._defect.meets(customer):
            return
        if self._defect.symptom == FAILING:
            raise _Refused(500, "the order cannot be read")
        await self._clock.sleep(self._defect.delay_seconds)

    async def _authorize(self, session: aiohttp.ClientSession, amount: int) -> str:
        body = orjson.dumps({"amountCents": amount})
        try:
            async with session.post(f"{self._payments_url}/authorize", data=body) as answer:
                if answer.status == 402:
                    raise _Refused(402, "the payment was declined")
                if answer.status != 200:
                    raise _Refused(502, f"payments answered {answer.status}")
                return str(orjson.loads(await answer.read())["authorization"])
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _Refused(502, f"payments does not answer: {type(error).__name__}") from error

    async def _insert(self, customer: str, amount: int, authorization: str) -> int:
        try:
            rows = await self._database.rows(
                "INSERT INTO shop.orders (partition, customer, amount_cents, authorization_code)"
                " VALUES (%s, %s, %s, %s) RETURNING id",
                (partition_of(customer, self._partitions), customer, amount, authorization),
            )
        except psycopg.Error as error:
            raise _Refused(503, "the database does not take the order") from error
        return int(rows[0][0])


_SESSION = web.AppKey("session", aiohttp.ClientSession)


async def _read_order(request: web.Request) -> tuple[str, int]:
    """Customer and amount of a request. Raises HTTPBadRequest with the reason."""
    try:
        order: Any = orjson.loads(await request.read())
    except ValueError:
        order = None
    problem = ""
    if not isinstance(order, dict):
        problem = "the body is a JSON object with customer and amountCents"
    elif not isinstance(order.get("customer"), str) or not 0 < len(order["customer"]) <= 200:
        problem = "customer is a text of 1 to 200 characters"
    elif "\x00" in order["customer"]:
        problem = "customer holds a character that cannot be stored"
    elif type(order.get("amountCents")) is not int or not 0 < order["amountCents"] <= 10**12:
        problem = "amountCents is a whole number above 0"
    if problem:
        raise web.HTTPBadRequest(body=orjson.dumps({"error": problem}), content_type="application/json")
    return order["customer"], order["amountCents"]


def application(api: OrdersApi) -> web.Application:
    """The routes."""
    app = web.Application(client_max_size=64 * 1024)
    app.router.add_post("/orders", api.create)
    app.router.add_get(r"/orders/{id:\d{1,30}}", api.show)
    api.dead_letters.add_routes(app)
    app.cleanup_ctx.append(api.background)
    return app


async def main() -> None:
    """The api pod."""
    settings = ShopSettings.from_environment()
    clock, registry = SystemClock(), CollectorRegistry()
    database = Database(settings.database_url, "api", clock, settings.workers)
    reader = Database(settings.database_url, "api-reader", clock, settings.workers)
    api = OrdersApi(
        database,
        reader,
        settings.payments_url,
        clock,
        registry,
        defect=settings.defect,
        partitions=settings.workers,
    )
    await serve(
        application(api),
        port=settings.port,
        ready=lambda: api.gauges.fresh,
        registry=registry,
        stop=api.stop,
    )
    await database.close()
    await reader.close()


if __name__ == "__main__":
    run(main)
