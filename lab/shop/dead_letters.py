"""Orders that cannot be worked on: seen by their failed attempts, and moved aside by whoever decides so.

GET  /orders?minAttempts=N           200 {orders: [...]} that wait and have failed N times or more (default 1)
POST /orders/{id}/set-aside {reason} 200 the order; it waits no longer     404 no such order waits
GET  /dead-letters                   200 {orders: [...]} that were moved aside, newest first
"""

from __future__ import annotations

from typing import Any

import orjson
import psycopg
from aiohttp import web

from lab.core.clock import rfc3339
from lab.shop.database import Database

_MOST = 100


class DeadLetters:
    """The handlers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def suspects(self, request: web.Request) -> web.Response:
        """GET /orders."""
        text = request.query.get("minAttempts", "1")
        if not (text.isascii() and text.isdigit() and len(text) < 7):
            return _error("minAttempts is a whole number", 400)
        try:
            rows = await self._database.rows(
                "SELECT id, partition, customer, attempts, created_at FROM shop.orders"
                " WHERE confirmed_at IS NULL AND attempts >= %s ORDER BY id LIMIT %s",
                (int(text), _MOST),
            )
        except psycopg.Error:
            return _error("the database is away", 503)
        return _json({"orders": [_shown(row) for row in rows]})

    async def set_aside(self, request: web.Request) -> web.Response:
        """POST /orders/{id}/set-aside."""
        try:
            body: Any = orjson.loads(await request.read())
            reason = body["reason"]
        except (ValueError, KeyError, TypeError):
            reason = None
        if not isinstance(reason, str) or not 0 < len(reason) <= 500 or "\x00" in reason:
            return _error("reason is a text of 1 to 500 characters", 400)
        try:
            rows = await self._database.rows(
                """
                WITH gone AS (
                    DELETE FROM shop.orders WHERE id = %s AND confirmed_at IS NULL RETURNING *
                )
                INSERT INTO shop.dead_letters
                    (id, partition, customer, amount_cents, authorization_code, created_at, attempts, reason)
                SELECT id, partition, customer, amount_cents, authorization_code, created_at, attempts, %s
                FROM gone
                RETURNING id, partition, customer, attempts, created_at, reason, set_aside_at
                """,
                (int(request.match_info["id"]), reason),
            )
        except psycopg.DataError:
            rows = []
        except psycopg.Error:
            return _error("the database is away", 503)
        return _json(_shown(rows[0])) if rows else _error("no such order waits", 404)

    async def show(self, _: web.Request) -> web.Response:
        """GET /dead-letters."""
        try:
            rows = await self._database.rows(
                "SELECT id, partition, customer, attempts, created_at, reason, set_aside_at"
                " FROM shop.dead_letters ORDER BY set_aside_at DESC LIMIT %s",
                (_MOST,),
            )
        except psycopg.Error:
            return _error("the database is away", 503)
        return _json({"orders": [_shown(row) for row in rows]})

    def add_routes(self, app: web.Application) -> None:
        """The paths above."""
        app.router.add_get("/orders", self.suspects)
        app.router.add_post(r"/orders/{id:\d{1,30}}/set-aside", self.set_aside)
        app.router.add_get("/dead-letters", self.show)


def _shown(row: tuple[Any, ...]) -> dict[str, Any]:
    identity, partition, customer, attempts, created, *more = row
    shown = {
        "id": identity,
        "partition": partition,
        "customer": customer,
        "attempts": attempts,
        "createdAt": rfc3339(created),
    }
    if more:
        reason, at = more
        shown |= {"reason": reason, "setAsideAt": rfc3339(at)}
    return shown


def _json(body: Any) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")


def _error(text: str, status: int) -> web.Response:
    return web.json_response({"error": text}, status=status)
