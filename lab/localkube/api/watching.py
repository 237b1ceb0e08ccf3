"""Watch streams: one JSON document a line, flushed one by one, until the time is over or the client goes."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence

import orjson
from aiohttp import web
from multidict import MultiMapping

from lab.core.clock import Clock
from lab.kube.objects import KubeObject
from lab.kube.request import truthy
from lab.kube.resources import Resource
from lab.kube.status import StatusError
from lab.localkube.api.options import check_list_options, integer, resource_version
from lab.localkube.api.representation import Representation
from lab.localkube.protocols import Registry, WatchEvent

SHORTEST, LONGEST = 1800, 3600
"""Seconds that a watch lives when the client does not say, drawn at random as upstream does."""

MOST_AT_ONCE = 100
"""Events beside the first that go out in one piece when more than one waits."""

REMEMBERED = 200
"""Events that are kept in their encoded form."""


async def stream_watch(
    request: web.Request,
    registry: Registry,
    resource: Resource,
    namespace: str,
    field_selector: str,
    shape: Representation,
    clock: Clock,
) -> web.StreamResponse:
    """Answer a watch request. Raises StatusError before the stream begins; later it sends an ERROR event."""
    query = request.query
    check_list_options(query, watch=True)
    since = resource_version(query)
    initial = query.get("sendInitialEvents")
    if initial is not None and not truthy(initial) and not since:
        since = registry.list(resource, namespace, limit=1).rv
    seconds = integer(query, "timeoutSeconds") or random.SystemRandom().randint(SHORTEST, LONGEST)
    events = _begin(registry, resource, namespace, since, field_selector, query)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        with contextlib.suppress(ConnectionResetError):  # the client goes while an event is on its way
            await _stream(events, response, shape, clock, seconds)
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
    return response


async def _stream(
    events: AsyncIterator[WatchEvent],
    response: web.StreamResponse,
    shape: Representation,
    clock: Clock,
    seconds: int,
) -> None:
    try:
        async with asyncio.timeout(seconds):
            await _pump(events, response, shape, clock)
    except TimeoutError:
        pass
    except StatusError as error:
        await response.write(_line("ERROR", error.status()))
    await response.write_eof()


def _begin(
    registry: Registry,
    resource: Resource,
    namespace: str,
    since: int | None,
    field_selector: str,
    query: MultiMapping[str],
) -> AsyncIterator[WatchEvent]:
    try:
        return registry.watch(
            resource,
            namespace,
            since=since,
            label_selector=query.get("labelSelector", ""),
            field_selector=field_selector,
            send_initial_events=truthy(query.get("sendInitialEvents")),
            bookmarks=truthy(query.get("allowWatchBookmarks")),
        )
    except StatusError as error:
        if error.code != 410:
            raise
        return _Expired(error)  # upstream begins the stream and says so in it


class _Expired:
    """A watch that begins with its error."""

    def __init__(self, error: StatusError) -> None:
        self._error = error

    def __aiter__(self) -> _Expired:
        return self

    async def __anext__(self) -> WatchEvent:
        raise self._error


async def _pump(
    events: AsyncIterator[WatchEvent], response: web.StreamResponse, shape: Representation, clock: Clock
) -> None:
    queued: Callable[[int], Sequence[WatchEvent]] = getattr(events, "queued", lambda most: ())
    async for event in events:
        lines = (_shown(each, shape, clock) for each in (event, *queued(MOST_AT_ONCE)))
        await response.write(b"".join(lines))


def _shown(event: WatchEvent, shape: Representation, clock: Clock) -> bytes:
    if event.type == "BOOKMARK":
        return _line("BOOKMARK", shape.bookmark(event.object))
    if not shape.accepted.kind:
        return _encoded.line(event.type, event.object)
    return _line(event.type, shape.one(event.object, clock.now()))


def _line(kind: str, obj: KubeObject) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"


class _Encoded:
    """The latest events as they go out: encoded once, however many watches send them."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int], tuple[KubeObject, bytes]] = {}

    def line(self, kind: str, obj: KubeObject) -> bytes:
        key = (kind, id(obj))  # nobody else's as long as the object is kept here
        if key not in self._lines:
            if len(self._lines) >= REMEMBERED:
                del self._lines[next(iter(self._lines))]
            self._lines[key] = (obj, _line(kind, obj))
        return self._lines[key][1]


_encoded = _Encoded()
