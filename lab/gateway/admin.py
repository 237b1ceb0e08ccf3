"""The admin side on its own port: audit log, intents and kill switch, for whoever holds the lab's token."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from lab.gateway.audit import AuditLog
from lab.gateway.killswitch import KillSwitch
from lab.kube.status import StatusError, bad_request, unauthorized

Reader = Callable[[int, int], list[dict[str, Any]]]
DEFAULT_LIMIT = 1000
MAX_LIMIT = 5000


def admin_app(book: AuditLog, token: str, switch: KillSwitch | None = None) -> web.Application:
    """Routes /audit, /intents and, with a switch, /kill-switch. With an empty token nobody is let in."""

    def respond(reader: Reader) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            try:
                _authorize(request, token)
                after, limit = _number(request, "after", 0), _number(request, "limit", DEFAULT_LIMIT)
                records = await asyncio.to_thread(reader, after, min(limit, MAX_LIMIT))
            except StatusError as error:
                return _json(error.status(), error.code)
            return _json({"records": records, "last": book.last})

        return handle

    async def set_switch(request: web.Request) -> web.Response:
        assert switch is not None
        try:
            _authorize(request, token)
            state = await switch.set(await _body(request))
        except StatusError as error:
            return _json(error.status(), error.code)
        on = "on" if state.stopped else "off"
        return _json({"killSwitch": on, "by": state.by, "reason": state.reason, "at": state.at})

    app = web.Application(client_max_size=64 * 1024)
    if switch is not None:
        app.router.add_post("/kill-switch", set_switch)
    app.router.add_get("/audit", respond(book.read))
    app.router.add_get("/intents", respond(book.intents))
    return app


def _authorize(request: web.Request, token: str) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode())
    if not token or scheme.lower() != "bearer" or not same:
        raise unauthorized()


async def _body(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except ValueError as error:
        raise bad_request("the body is not JSON") from error


def _number(request: web.Request, key: str, default: int) -> int:
    text = request.query.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise bad_request(f"{key} must be a whole number from 0, not {text[:40]!r}")
    return int(text)


def _json(value: Any, code: int = 200) -> web.Response:
    return web.Response(status=code, body=orjson.dumps(value), content_type="application/json")
