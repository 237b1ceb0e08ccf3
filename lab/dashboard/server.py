"""The page's server.

GET  /                 the page; /?token=… is its link
GET  /api/v1/state     the state as JSON
GET  /api/v1/events    the same as server-sent events, whenever it changed
POST /api/v1/kill-switch  {on, reason}
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from lab.core.clock import Clock
from lab.dashboard.access import SECURITY_HEADERS, Guard
from lab.dashboard.state import Json, Sources
from lab.kube.status import StatusError

REFRESH_SECONDS = 0.5
IDLE_SECONDS = 10.0
"""How long after the last look the parts are still asked; nobody looking costs nothing."""

MAX_REASON = 200
_FILES = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css"),
          "/page.js": ("page.js", "text/javascript")}  # fmt: skip
_FOLDER = Path(__file__).parent


class Page:
    """One state for all who look, gathered at most twice a second and only while somebody looks."""

    def __init__(self, sources: Sources, clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._state: bytes = b""
        self._number = 0
        self._changed = asyncio.Condition()
        self._wanted = asyncio.Event()
        self._looked = float("-inf")

    async def refresh(self) -> None:
        """Gather for ever, while somebody looks."""
        while True:
            await self._wanted.wait()
            await self.gather()
            await self._clock.sleep(REFRESH_SECONDS)
            if self._clock.monotonic() - self._looked > IDLE_SECONDS:
                self._wanted.clear()

    async def gather(self) -> None:
        """Gather once, and wake those who wait when something changed but the clock."""
        state = await self._sources.gather()
        text = orjson.dumps(state)
        async with self._changed:
            if _without_clock(text) != _without_clock(self._state):
                self._state = text
                self._number += 1
                self._changed.notify_all()

    async def state(self, _: web.Request) -> web.Response:
        """The state, fresh."""
        await self.gather()
        return web.Response(body=self._state, content_type="application/json")

    async def events(self, request: web.Request) -> web.StreamResponse:
        """The state at every change, as long as the browser listens."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | SECURITY_HEADERS)
        await answer.prepare(request)
        sent = -1
        while True:
            self._look()
            async with self._changed:
                if self._number == sent or not self._state:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), IDLE_SECONDS / 2)
                number, state = self._number, self._state
            try:
                if number != sent and state:
                    await answer.write(b"data: " + state + b"\n\n")
                    sent = number
                else:
                    await answer.write(b": still here\n\n")
            except ConnectionError:
                return answer

    async def kill_switch(self, request: web.Request) -> web.Response:
        """Engage or release it."""
        try:
            body = orjson.loads(await request.read())
        except ValueError:
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("on"), bool):
            return _json({"error": "the body is {on: true or false, reason: text}"}, 400)
        reason = str(body.get("reason") or "")[:MAX_REASON]
        try:
            control = await self._sources.kill_switch(body["on"], reason)
        except (ConnectionError, TimeoutError, StatusError) as error:
            return _json({"error": f"the kill switch could not be set: {error}"}, 503)
        await self.gather()
        return _json({"control": control})

    def _look(self) -> None:
        self._looked = self._clock.monotonic()
        self._wanted.set()


def _without_clock(state: bytes) -> bytes:
    return state.partition(b'"away"')[2]


def _json(value: Json, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")


def application(page: Page, token: str) -> web.Application:
    """The routes, behind the guard."""
    app = web.Application(middlewares=[Guard(token).check], client_max_size=64 * 1024)
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _file(name, kind))
    app.router.add_get("/api/v1/state", page.state)
    app.router.add_get("/api/v1/events", page.events)
    app.router.add_post("/api/v1/kill-switch", page.kill_switch)

    async def refreshing(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(page.refresh(), name="refresh")
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    app.cleanup_ctx.append(refreshing)
    return app


def _file(name: str, kind: str) -> Handler:
    async def send(_: web.Request) -> web.Response:
        return web.Response(body=(_FOLDER / name).read_bytes(), content_type=kind, charset="utf-8")

    return send
