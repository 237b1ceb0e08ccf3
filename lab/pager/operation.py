"""One operation of the pager's API, and how it is served. The table of operations is also the documentation.

A request is served in one piece: authorise, read, look whether it was answered before, do, answer. Everything
after the reading is synchronous, so no two requests mix.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from lab.errors import UsageError
from lab.pager.fields import Field, Schema, read_fields
from lab.pager.people import ONCALL, same_person
from lab.pager.store import RequestKey, Store

MAX_KEY = 255
KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
Handler = Callable[["Call"], Any]
"""Gives what is answered as JSON, an `Answer`, or a whole response."""


@dataclass(frozen=True, slots=True)
class Query:
    """One parameter of the query. choices: the values there are, empty for any."""

    name: str
    meaning: str
    choices: tuple[str, ...] = ()
    default: str = ""
    many: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    name: unique, in camelCase. fields: of the body, which is then an object; raw: the schema of any other
    body. answer: the schema of success. refusals: the codes of the failures that are its own. is_admin: only
    with the lab's admin token. without_body: the body may be left out. media: of success. handler: None for
    what every pod serves by itself.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler | None
    answer: Schema
    fields: tuple[Field, ...] = ()
    raw: Schema = field(default_factory=dict)
    query: tuple[Query, ...] = ()
    success: int = 200
    refusals: tuple[int, ...] = ()
    is_admin: bool = False
    without_body: bool = False
    media: tuple[str, ...] = ("application/json",)

    @property
    def has_body(self) -> bool:
        """Does it take a body?"""
        return bool(self.fields or self.raw)


@dataclass(frozen=True, slots=True)
class Answer:
    """Success with a code of its own."""

    body: Any
    code: int


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read: `body` as it came, `values` by the declared fields, path and query parameters."""

    body: Any
    values: Mapping[str, Any]
    path: Mapping[str, str]
    query: Mapping[str, str]
    queries: Callable[[str], list[str]]

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.path["id"]

    @property
    def by(self) -> str:
        """Who speaks."""
        return str(self.values["by"])


class Server:
    """Serves operations. With an admin token, only its bearer may speak as the on-call human."""

    def __init__(self, store: Store, admin_token: str) -> None:
        self._store = store
        self._admin_token = admin_token

    def route(self, operation: Operation) -> web.RouteDef:
        """What an application serves."""

        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._serve(operation, request)

        return web.route(operation.method, operation.path, serve)

    async def _serve(self, operation: Operation, request: web.Request) -> web.StreamResponse:
        if operation.is_admin and not self._is_admin(request):
            raise web.HTTPUnauthorized(
                text="this needs the lab's admin token as a bearer", headers={"WWW-Authenticate": "Bearer"}
            )
        content = await request.read()
        call = self._read(operation, request, content)
        key = request.headers.get(KEY_HEADER)
        if operation.method != "POST" or key is None:
            return _response(operation, self._do(operation, call))
        return self._once(operation, call, _request_key(operation, request, key, content))

    def _once(self, operation: Operation, call: Call, key: RequestKey) -> web.StreamResponse:
        """Do it unless it was done: the same key has the same answer. What was refused is tried anew."""
        past = self._store.state.answers.get(key.key)
        if past is not None and past.digest != key.digest:
            raise web.HTTPUnprocessableEntity(
                text=f"this {KEY_HEADER} was used for another request; use a new one"
            )
        if past is None:
            with self._store.answering(key):
                answer = self._do(operation, call)
            self._store.keep_answer(key, answer.code, json.dumps(answer.body))
            return _response(operation, answer)
        return web.Response(
            text=past.body,
            status=past.status,
            content_type="application/json",
            headers={REPLAYED_HEADER: "true"},
        )

    @staticmethod
    def _do(operation: Operation, call: Call) -> Answer:
        assert operation.handler is not None
        given = operation.handler(call)
        return given if isinstance(given, Answer) else Answer(given, operation.success)

    def _read(self, operation: Operation, request: web.Request, content: bytes) -> Call:
        body: Any = None
        values: dict[str, Any] = {}
        if operation.has_body and (content or not operation.without_body):
            try:
                body = orjson.loads(content)
            except orjson.JSONDecodeError as error:
                raise UsageError(f"the body is not JSON: {error}") from error
            if operation.fields:
                values = read_fields(operation.fields, body)
        for one in operation.fields:
            if one.is_author and values.get(one.name):
                self._refuse_reserved(request, str(values[one.name]))
        for parameter in operation.query:
            given = request.query.get(parameter.name, parameter.default)
            if parameter.choices and given not in parameter.choices:
                choices = ", ".join(parameter.choices)
                raise UsageError(f"{parameter.name} {given[:40]!r} is none of: {choices}")
        return Call(
            body,
            values,
            request.match_info,
            {one.name: request.query.get(one.name, one.default) for one in operation.query},
            lambda name: request.query.getall(name, []),
        )

    def _refuse_reserved(self, request: web.Request, name: str) -> None:
        if same_person(name, ONCALL) and self._admin_token and not self._is_admin(request):
            raise web.HTTPForbidden(text=f"{ONCALL} is the on-call human's name; use your own")

    def _is_admin(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        wanted = self._admin_token
        return bool(wanted) and hmac.compare_digest(given.encode(), wanted.encode())


def _request_key(operation: Operation, request: web.Request, key: str, content: bytes) -> RequestKey:
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise UsageError(f"{KEY_HEADER} must be 1 to {MAX_KEY} printable ASCII characters")
    text = b"\0".join((request.method.encode(), request.path_qs.encode(), content))
    return RequestKey(key, hashlib.sha256(text).hexdigest(), operation.success)


def _response(operation: Operation, answer: Answer) -> web.StreamResponse:
    if isinstance(answer.body, web.StreamResponse):
        return answer.body
    return web.json_response(answer.body, status=answer.code)
