"""The pager as one HTTP application: the book, its two APIs, and the tasks that keep time and notify."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import Clock, TimeScale
from lab.pager.alertmanager import AlertmanagerApi
from lab.pager.api import PagerApi, errors_as_json
from lab.pager.book import IncidentBook
from lab.pager.delivery import Delivery
from lab.pager.journal import Journal, JournalError
from lab.pager.meters import PagerMeters
from lab.pager.state import PagerState
from lab.pager.wire import MAX_BODY

EXPIRE_SECONDS = 0.25
"""How often leases are looked at, in real seconds."""

log = logging.getLogger("lab.pager")


def pager_app(
    *,
    clock: Clock,
    scale: TimeScale,
    registry: CollectorRegistry,
    data: Path | None = None,
    admin_token: str = "",
    external_url: str = "",
) -> web.Application:
    """A whole pager. data: the folder of its journal, None to keep nothing. Raises JournalError."""
    journal = Journal(data / "pager.jsonl" if data else None)
    book = IncidentBook(journal, clock, scale, PagerMeters(registry), PagerState())
    if data:
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalError(f"the pager cannot make its folder {data}: {error.strerror}") from error
    book.remember()
    app = web.Application(middlewares=[errors_as_json], client_max_size=MAX_BODY)
    app.router.add_routes(AlertmanagerApi(book).routes())
    app.router.add_routes(PagerApi(book, admin_token).routes())
    delivery = Delivery(book, external_url)

    async def running(_: web.Application) -> AsyncIterator[None]:
        delivery.start()
        expiring = asyncio.create_task(_expire(book), name="leases")
        yield
        expiring.cancel()
        with suppress(asyncio.CancelledError):
            await expiring
        await delivery.close()
        journal.close()

    app.cleanup_ctx.append(running)
    return app


async def _expire(book: IncidentBook) -> None:
    while True:
        await book.clock.sleep(EXPIRE_SECONDS)
        try:
            book.expire()
        except JournalError as error:
            log.warning("%s", error.message)
