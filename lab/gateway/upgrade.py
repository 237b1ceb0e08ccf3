"""Streams into pods (exec, attach, port-forward), in live mode only, over WebSocket or SPDY."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from lab.gateway.exchange import Answer
from lab.gateway.rawupgrade import open_raw_upgrade
from lab.gateway.target import Target
from lab.gateway.upstream import Upstream, decode_object
from lab.kube.status import StatusError, bad_request, service_unavailable

_MAX_MESSAGE = 4 * 1024 * 1024
_CLOSE_SECONDS = 2.0
_BROKEN = int(aiohttp.WSCloseCode.INTERNAL_ERROR)
"""What one side is told when the other has gone without a word."""


def wants_upgrade(request: web.BaseRequest) -> bool:
    """Does the client ask to switch protocols?"""
    return "upgrade" in request.headers.get("Connection", "").lower()


async def open_upgrade(
    upstream: Upstream, request: web.BaseRequest, target: Target, headers: CIMultiDict[str]
) -> Answer:
    """Open the upstream side; the answer takes the client's connection over.

    Raises StatusError: 400 for another protocol, or what upstream answered instead.
    """
    wanted = request.headers.get("Upgrade", "").lower()
    if wanted == "spdy/3.1":
        return await open_raw_upgrade(upstream, request, target, headers)
    if wanted != "websocket":
        raise bad_request("the gateway streams over WebSocket and SPDY/3.1 only")
    asked = request.headers.get("Sec-WebSocket-Protocol", "")
    protocols = tuple(p.strip() for p in asked.split(",") if p.strip())
    try:
        socket = await upstream.pool().ws_connect(
            upstream.url(target.url),
            headers=headers,
            protocols=protocols,
            max_msg_size=_MAX_MESSAGE,
            timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS),
        )
    except aiohttp.WSServerHandshakeError as error:
        body = decode_object(error.message.encode())
        message = str(body.get("message") or "the API server did not switch to WebSocket")
        raise StatusError(error.status, str(body.get("reason") or "Unknown"), message) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise service_unavailable(
            f"the gateway cannot reach the API server: {type(error).__name__}"
        ) from error

    async def take_over(inner: web.BaseRequest) -> web.StreamResponse:
        return await _join(inner, socket)

    return Answer(101, take_over=take_over)


async def _join(request: web.BaseRequest, upstream: aiohttp.ClientWebSocketResponse) -> web.StreamResponse:
    protocols = (upstream.protocol,) if upstream.protocol else ()
    client = web.WebSocketResponse(
        protocols=protocols, max_msg_size=_MAX_MESSAGE, timeout=_CLOSE_SECONDS, autoping=True
    )
    code = _BROKEN
    pumps: list[asyncio.Task[int]] = []
    try:
        await client.prepare(request)
        pumps = [
            asyncio.create_task(_pump(client, upstream)),
            asyncio.create_task(_pump(upstream, client)),
        ]
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        code = max((pump.result() for pump in done if not pump.exception()), default=_BROKEN)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        await upstream.close(code=code)
        if client.prepared:
            await client.close(code=code)
    return client


_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pump(source: _Socket, sink: _Socket) -> int:
    """Pass messages on; the code with which the source closes."""
    while True:
        message = await source.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        elif message.type is aiohttp.WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.CLOSE:
            return int(message.data) or aiohttp.WSCloseCode.OK
        else:
            return _BROKEN
