"""The pager as one HTTP application: the book, its two APIs, and the tasks that keep time and notify."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import Clock, TimeScale
from lab.pager import openapi
from lab.pager.api import operations
from lab.pager.book import Book
from lab.pager.delivery import Delivery
from lab.pager.journal import Journal, JournalError
from lab.pager.meters import PagerMeters
from lab.pager.operation import Server
from lab.pager.refusals import tell_failures
from lab.pager.state import PagerState
from lab.pager.store import Store
from lab.pager.trouble import Rows

TICK_SECONDS = 0.25
"""How often time is looked at, in real seconds."""
MAX_BODY = 1024 * 1024

log = logging.getLogger("lab.pager")


def pager_app(
    *,
    clock: Clock,
    scale: TimeScale,
    registry: CollectorRegistry,
    data: Path | None = None,
    admin_token: str = "",
    external_url: str = "",
    rows: Rows = tuple,
) -> web.Application:
    """A whole pager. Raises JournalError.

    data: the folder of its journal, None to keep nothing. rows: the faults that bite in the pager now.
    """
    journal = Journal(data / "pager.jsonl" if data else None)
    store = Store(journal, clock, scale, PagerMeters(registry), PagerState())
    book = Book(store, rows)
    if data:
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"the pager cannot make its folder {data}: {error.strerror}") from error
    book.remember()
    app = web.Application(middlewares=[tell_failures], client_max_size=MAX_BODY)
    table = operations(book)
    server = Server(store, admin_token)
    app.router.add_routes(server.route(operation) for operation in table)
    app.router.add_get(openapi.PATH, _serving(openapi.document(table)))
    delivery = Delivery(book, external_url)

    async def running(_: web.Application) -> AsyncIterator[None]:
        delivery.start()
        ticking = asyncio.create_task(_tick(book), name="time")
        yield
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
        await delivery.close()
        journal.close()

    app.cleanup_ctx.append(running)
    return app


async def _tick(book: Book) -> None:
    while True:
        await book.store.clock.sleep(TICK_SECONDS)
        try:
            book.tick()
        except JournalError as error:
            log.warning("%s", error.message)


def _serving(document: dict[str, Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    content = json.dumps(document).encode()

    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type="application/json")

    return serve
