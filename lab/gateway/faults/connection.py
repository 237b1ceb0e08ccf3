"""Faults of the connection: no answer, half an answer, an answer that is lost."""

from __future__ import annotations

import math
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from lab.core.audit import Decision
from lab.gateway.exchange import Answer, Handler, Stream, read_body
from lab.gateway.faults.hit import Hit
from lab.kube.status import StatusError

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class BrokenOffError(Exception):
    """A stream that ends here without its proper end."""


def reset(request: web.BaseRequest) -> web.StreamResponse:
    """Break the client's connection with a TCP reset. What is returned goes nowhere."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()
    return web.Response()


def unanswered(code: int = 0) -> Answer:
    """No answer but a reset. code: what the API server said, for the record; 0 when it was not asked.

    It comes after the whole request: a client that still sends would see now a reset, now an end of file.
    """

    async def take_over(request: web.BaseRequest) -> web.StreamResponse:
        with suppress(StatusError):  # too large a body is not read to its end
            await read_body(request)
        return reset(request)

    return Answer(code, take_over=take_over)


async def hang(hit: Hit, following: Handler) -> Answer:
    """Hold the request until the client leaves or the fault ends."""
    hit.answer_instead()
    await hit.hold(math.inf)
    if hit.stopped:
        hit.exchange.reason = ""  # the refusal has a better one
        return await following(hit.exchange)
    return unanswered()


async def lose_response(hit: Hit, following: Handler) -> Answer:
    """Carry the mutation out and keep its answer back; what the gateway refused is told."""
    answer = await following(hit.exchange)
    if hit.exchange.decision is Decision.REFUSED:
        return answer
    answer.drop()
    hit.mark()

    async def take_over(request: web.BaseRequest) -> web.StreamResponse:
        if hit.setting("ending") == "silence":
            await hit.hold(math.inf, carried_out=True)
        return reset(request)

    return Answer(answer.code, take_over=take_over)


async def break_off(hit: Hit, following: Handler) -> Answer:
    """Send half of the answer's body and reset the connection."""
    answer = await following(hit.exchange)
    if answer.take_over is not None or hit.exchange.decision is Decision.REFUSED:
        return answer
    hit.mark()
    if answer.stream is None:
        answer.headers["Content-Length"] = str(len(answer.body))
    half = int(answer.headers.get("Content-Length") or 0) // 2
    answer.stream = _Half(answer, half, hit.exchange.request)
    return answer


class _Half:
    """The first bytes of an answer: `length` of them, or half of its first chunk when that is 0."""

    def __init__(self, answer: Answer, length: int, request: web.BaseRequest) -> None:
        self._stream: Stream | None = answer.stream
        self._body = answer.body
        self._length = length
        self._request = request

    @property
    def content(self) -> _Half:
        """The chunks."""
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Yield what may arrive; then reset, and raise so that nobody ends the answer properly."""
        left = self._length
        async for chunk in self._chunks():
            left = left or len(chunk) // 2
            yield chunk[:left]
            left -= min(left, len(chunk))
            if not left:
                break
        reset(self._request)
        raise BrokenOffError

    def close(self) -> None:
        """Let go of the API server's answer."""
        if self._stream is not None:
            self._stream.close()

    async def _chunks(self) -> AsyncIterator[bytes]:
        if self._stream is None:
            yield self._body
            return
        async for chunk in self._stream.content.iter_any():
            yield chunk
