"""The pager's own API: incidents, webhooks, the team channel, the history."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from lab.core.incident import Incident, IncidentStatus
from lab.errors import UsageError
from lab.pager import wire
from lab.pager.book import IncidentBook, UnknownIncident, WrongState
from lab.pager.journal import JournalError
from lab.pager.matchers import parse_matchers
from lab.pager.state import Webhook
from lab.pager.text import history_text

RESERVED_AUTHOR = "human:oncall"
"""The simulated human: its reports are the baseline of the measurements, so nobody else may use the name."""

MAX_WEBHOOKS = 32
MAX_URL = 2048
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PagerApi:
    """The routes below /api/v1. With an `admin_token`, only its bearer may speak as the on-call human."""

    def __init__(self, book: IncidentBook, admin_token: str = "") -> None:
        self._book = book
        self._admin_token = admin_token

    def routes(self) -> list[web.RouteDef]:
        """What an application serves."""
        one = "/api/v1/incidents/{id}"
        return [
            web.get("/api/v1/incidents", self.incidents),
            web.get(one, self.incident),
            web.post(f"{one}/acknowledge", self.acknowledge),
            web.post(f"{one}/resolve", self.resolve),
            web.post(f"{one}/notes", self.note),
            web.post(f"{one}/actions", self.action),
            web.post(f"{one}/escalations", self.escalate),
            web.post("/api/v1/escalations", self.escalate),
            web.get("/api/v1/escalations", self.escalations),
            web.post("/api/v1/status", self.post_status),
            web.get("/api/v1/status", self.status_posts),
            web.get("/api/v1/webhooks", self.webhooks),
            web.post("/api/v1/webhooks", self.add_webhook),
            web.delete("/api/v1/webhooks", self.remove_webhook),
            web.delete("/api/v1/webhooks/{name}", self.remove_webhook),
            web.get("/api/v1/history", self.history),
        ]

    async def incidents(self, request: web.Request) -> web.Response:
        """All incidents of a status, oldest first."""
        wanted = request.query.get("status", "open")
        if wanted not in ("open", "all", *IncidentStatus):
            choices = ", ".join(("open", "all", *IncidentStatus))
            raise UsageError(f"status {wanted[:40]!r} is none of: {choices}")
        found = [
            incident.as_dict()
            for incident in self._book.state.incidents.values()
            if wanted == "all" or (incident.is_open if wanted == "open" else incident.status.value == wanted)
        ]
        return web.json_response({"incidents": found})

    async def incident(self, request: web.Request) -> web.Response:
        """One incident."""
        return _one(self._book.incident(request.match_info["id"]))

    async def acknowledge(self, request: web.Request) -> web.Response:
        """Take an incident."""
        body = await wire.read_object(request)
        return _one(self._book.acknowledge(request.match_info["id"], self._author(request, body)))

    async def resolve(self, request: web.Request) -> web.Response:
        """Close an incident by hand."""
        body = await wire.read_object(request)
        note = wire.text(body, "note", required=False)
        return _one(self._book.resolve(request.match_info["id"], self._author(request, body), note))

    async def note(self, request: web.Request) -> web.Response:
        """Write a remark."""
        body = await wire.read_object(request)
        text = wire.text(body, "text")
        return _one(self._book.add_note(request.match_info["id"], self._author(request, body), text))

    async def action(self, request: web.Request) -> web.Response:
        """Report what was done, or decided."""
        body = await wire.read_object(request)
        self._author(request, body)
        action = wire.action(body, self._book.clock.now())
        return _one(self._book.add_action(request.match_info["id"], action))

    async def escalate(self, request: web.Request) -> web.Response:
        """Hand over to a human."""
        body = await wire.read_object(request)
        identity = request.match_info.get("id") or wire.text(body, "incident", limit=64, required=False)
        escalation = self._book.escalate(
            self._author(request, body), wire.text(body, "summary"), wire.evidence(body), identity
        )
        return web.json_response(escalation.as_dict(), status=201)

    async def escalations(self, _: web.Request) -> web.Response:
        """Every hand-over, oldest first."""
        found = [escalation.as_dict() for escalation in self._book.state.escalations]
        return web.json_response({"escalations": found})

    async def post_status(self, request: web.Request) -> web.Response:
        """Post to the team channel."""
        body = await wire.read_object(request)
        identity = wire.text(body, "incident", limit=64, required=False)
        post = self._book.post_status(self._author(request, body), wire.text(body, "text"), identity)
        return web.json_response(post.as_dict(), status=201)

    async def status_posts(self, _: web.Request) -> web.Response:
        """Posts of the team channel, oldest first."""
        return web.json_response({"posts": [post.as_dict() for post in self._book.state.posts]})

    async def webhooks(self, _: web.Request) -> web.Response:
        """All receivers."""
        found = [webhook.as_dict() for webhook in self._book.state.webhooks.values()]
        return web.json_response({"webhooks": found})

    async def add_webhook(self, request: web.Request) -> web.Response:
        """Add or replace a receiver."""
        body = await wire.read_object(request)
        name = wire.text(body, "name", limit=wire.MAX_BY)
        webhooks = self._book.state.webhooks
        if name not in webhooks and len(webhooks) >= MAX_WEBHOOKS:
            raise WrongState(f"there are {MAX_WEBHOOKS} webhooks already; no more are taken")
        try:
            matchers = parse_matchers(body.get("matchers"))
        except ValueError as error:
            raise UsageError(f"matchers: {error}") from error
        webhook = Webhook(name, _url(wire.text(body, "url", limit=MAX_URL)), matchers)
        self._book.put_webhook(webhook)
        return web.json_response(webhook.as_dict(), status=201)

    async def remove_webhook(self, request: web.Request) -> web.Response:
        """Forget a receiver, named in the path, the query or the body."""
        name = request.match_info.get("name") or request.query.get("name")
        if not name:
            name = wire.text(await wire.read_object(request), "name", limit=wire.MAX_BY)
        if not self._book.remove_webhook(name):
            raise UnknownIncident(f"there is no webhook {name[:80]!r}")
        return web.json_response({"removed": name})

    async def history(self, request: web.Request) -> web.Response:
        """All that happened, oldest first."""
        state = self._book.state
        form = request.query.get("format", "json")
        if form == "text":
            return web.Response(text=history_text(state.history, state.incidents))
        if form != "json":
            raise UsageError(f"format {form[:40]!r} is neither json nor text")
        return web.json_response({"entries": [entry.as_dict() for entry in state.history]})

    def _author(self, request: web.Request, body: dict[str, object]) -> str:
        by = wire.author(body)
        if by.strip().lower() == RESERVED_AUTHOR and self._admin_token:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), self._admin_token.encode()):
                raise web.HTTPForbidden(text=f"{RESERVED_AUTHOR} is the on-call human's name; use your own")
        return by


def _one(incident: Incident) -> web.Response:
    return web.json_response(incident.as_dict())


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise UsageError(f"url {text[:80]!r} is not an http address, like http://host:8080/alerts")
    return text


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every failure is an object with the key `error`: 400, 403, 404, 409, 413, 507."""
    try:
        return await handler(request)
    except UnknownIncident as error:
        code, message = 404, error.message
    except WrongState as error:
        code, message = 409, error.message
    except UsageError as error:
        code, message = 400, error.message
    except JournalError as error:
        code, message = 507, error.message
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code, message = error.status, error.text or error.reason
    return web.json_response({"error": message}, status=code)
