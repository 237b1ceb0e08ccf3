"""The faults API.

    GET    /api/v1/catalogue            {faults: [{name, summary, decoy, parameters}]}
    GET    /api/v1/faults               {faults: [entry]} that bite now
    POST   /api/v1/faults               {name, forSeconds?, parameters?} -> 201 {entries}
    DELETE /api/v1/faults[?name=]       {entries} undone;  /api/v1/faults/{id} one of them
    GET    /api/v1/journal              {entries} oldest first
    POST   /api/v1/schedules            {seed, steps: [{atSeconds, fault, forSeconds?, parameters?}]} -> 201
    GET    /api/v1/schedules            {schedule: {seed, steps, startedAt, done} | null}
    DELETE /api/v1/schedules            {removed: bool}

Errors are {error, hint}: 400 wrong request, 401 no token, 404 no such entry, 409 the partition has a fault or
nobody is left to hit, 503 the database or the Kubernetes API is away.
"""

from __future__ import annotations

import hmac
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from lab.core.clock import rfc3339
from lab.core.fault import JournalEntry, find_spec, read_span
from lab.core.fault_plan import Plan
from lab.errors import LabError, NotReadyError, UsageError
from lab.faults.injector import Injector
from lab.faults.medium import NoVictimError, OccupiedError
from lab.faults.registry import SPECS
from lab.faults.scheduler import Scheduler


class _NoEntryError(LabError):
    pass


_STATUS: tuple[tuple[type[LabError], int], ...] = (
    (_NoEntryError, 404),
    (OccupiedError, 409),
    (NoVictimError, 409),
    (NotReadyError, 503),
    (UsageError, 400),
)


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def _entries(entries: list[JournalEntry], key: str = "entries", status: int = 200) -> web.Response:
    return _json({key: [entry.as_dict() for entry in entries]}, status)


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except ValueError as error:
        raise UsageError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise UsageError("the body is a JSON object")
    return body


def _guard(token: str) -> Middleware:
    """Ask for the token below /api/, and turn the lab's errors into answers."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/api/"):
            given = request.headers.get("Authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, expected):
                return _json({"error": "the token is missing or wrong", "hint": "LAB_ADMIN_TOKEN"}, 401)
        try:
            return await handler(request)
        except LabError as error:
            status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
            return _json({"error": error.message, "hint": error.hint}, status)

    return guard


class FaultsApi:
    """The handlers."""

    def __init__(self, injector: Injector, scheduler: Scheduler) -> None:
        self._injector = injector
        self._scheduler = scheduler

    async def catalogue(self, _: web.Request) -> web.Response:
        """GET catalogue."""
        return _json({"faults": [spec.as_dict() for spec in SPECS.values()]})

    async def active(self, _: web.Request) -> web.Response:
        """GET faults."""
        return _entries(self._injector.journal.open(), "faults")

    async def journal(self, _: web.Request) -> web.Response:
        """GET journal."""
        return _entries(list(self._injector.journal.entries.values()))

    async def inject(self, request: web.Request) -> web.Response:
        """POST faults."""
        body = await _body(request)
        unknown = body.keys() - {"name", "forSeconds", "parameters"}
        if unknown:
            raise UsageError(f"unknown keys: {', '.join(sorted(unknown))}")
        parameters, lasting = body.get("parameters") or {}, body.get("forSeconds")
        if not isinstance(parameters, dict):
            raise UsageError("parameters is an object")
        seconds = None if lasting is None else read_span(lasting, "forSeconds", least=0.1)
        return _entries(await self._injector.inject(body.get("name", ""), seconds, parameters), status=201)

    async def heal(self, request: web.Request) -> web.Response:
        """DELETE faults, all or by name."""
        name = request.query.get("name")
        if name is not None:
            find_spec(name, SPECS)
        return _entries(await self._injector.heal(name))

    async def heal_one(self, request: web.Request) -> web.Response:
        """DELETE faults/{id}. One that is undone already is answered with as it is."""
        entry = self._injector.journal.entries.get(request.match_info["id"])
        if entry is None:
            raise _NoEntryError(f"there is no entry {request.match_info['id']!r}")
        return _entries(await self._injector.undo([entry], "heal") or [entry])

    async def post_schedule(self, request: web.Request) -> web.Response:
        """POST schedules."""
        plan = Plan.from_dict(await _body(request), SPECS)
        await self._scheduler.post(plan)
        return _json(self._schedule(), 201)

    async def show_schedule(self, _: web.Request) -> web.Response:
        """GET schedules."""
        return _json(self._schedule())

    async def remove_schedule(self, _: web.Request) -> web.Response:
        """DELETE schedules."""
        return _json({"removed": await self._scheduler.remove()})

    def _schedule(self) -> dict[str, Any]:
        running = self._injector.journal.running
        if running is None:
            return {"schedule": None}
        more = {"startedAt": rfc3339(running.started_at), "done": running.done}
        return {"schedule": running.plan.as_dict() | more}


def application(api: FaultsApi, token: str) -> web.Application:
    """The routes. `token` must not be empty."""
    if not token:
        raise NotReadyError("LAB_ADMIN_TOKEN is empty", hint="it comes from Secret lab-admin, key token")
    app = web.Application(middlewares=[_guard(token)], client_max_size=1024 * 1024)
    app.router.add_get("/api/v1/catalogue", api.catalogue)
    app.router.add_get("/api/v1/faults", api.active)
    app.router.add_post("/api/v1/faults", api.inject)
    app.router.add_delete("/api/v1/faults", api.heal)
    app.router.add_delete("/api/v1/faults/{id}", api.heal_one)
    app.router.add_get("/api/v1/journal", api.journal)
    app.router.add_get("/api/v1/schedules", api.show_schedule)
    app.router.add_post("/api/v1/schedules", api.post_schedule)
    app.router.add_delete("/api/v1/schedules", api.remove_schedule)
    return app
