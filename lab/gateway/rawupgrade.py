"""SPDY streams into pods: the same bytes both ways, once the API server has switched protocols."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io

from aiohttp import web
from multidict import CIMultiDict

from lab.gateway.exchange import Answer
from lab.gateway.target import Target
from lab.gateway.upstream import Upstream, decode_object
from lab.kube.status import StatusError, service_unavailable
from lab.kube.takeover import RawConnection, take_over, taken

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 1024 * 1024
_ANSWER_SECONDS = 60.0
_RETURNED = ("Connection", "Upgrade", "X-Stream-Protocol-Version")


async def open_raw_upgrade(
    upstream: Upstream, request: web.BaseRequest, target: Target, headers: CIMultiDict[str]
) -> Answer:
    """Open the upstream side; the answer takes the client's connection over.

    Raises StatusError: what upstream answered instead of switching, or 503 when it cannot be reached.
    """
    sent = CIMultiDict(headers)
    sent["Connection"], sent["Upgrade"] = "Upgrade", request.headers["Upgrade"]
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            connection, code, received = await _ask(upstream, target, sent)
    except (OSError, ValueError, TimeoutError, EOFError, asyncio.LimitOverrunError) as error:
        raise service_unavailable(
            f"the gateway cannot reach the API server: {type(error).__name__}"
        ) from error
    if code != 101:
        raise await _refusal(connection, code, received)

    async def join(inner: web.BaseRequest) -> web.StreamResponse:
        with contextlib.suppress(ConnectionError):
            await _join(inner, connection, received)
        return taken()

    return Answer(101, take_over=join)


async def _ask(
    upstream: Upstream, target: Target, headers: CIMultiDict[str]
) -> tuple[RawConnection, int, http.client.HTTPMessage]:
    """Send the request; the connection, and status and headers of the answer."""
    url = upstream.url(target.url)
    context = upstream.connection.ssl_context()
    reader, writer = await asyncio.open_connection(url.host, url.port, ssl=context, limit=_HEAD_LIMIT)
    connection = RawConnection(reader, writer)
    try:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{target.method} {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n{lines}"
        await connection.write(f"{head}Content-Length: 0\r\n\r\n".encode("latin-1"))
        status, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        code = int(status.split()[1])
        return connection, code, http.client.parse_headers(io.BytesIO(rest))
    except BaseException:
        connection.abort()
        raise


async def _refusal(connection: RawConnection, code: int, headers: http.client.HTTPMessage) -> StatusError:
    """What upstream said instead."""
    try:
        size = min(int(headers.get("Content-Length") or 0), _BODY_LIMIT)
        async with asyncio.timeout(_ANSWER_SECONDS):
            body = decode_object(await connection.reader.readexactly(size))
    except (OSError, ValueError, TimeoutError, EOFError):
        body = {}
    finally:
        connection.abort()
    message = str(body.get("message") or "the API server did not switch protocols")
    return StatusError(code, str(body.get("reason") or "Unknown"), message)


async def _join(request: web.BaseRequest, upstream: RawConnection, headers: http.client.HTTPMessage) -> None:
    pumps: list[asyncio.Task[None]] = []
    try:
        client = take_over(request, [(name, headers[name]) for name in _RETURNED if name in headers])
        try:
            pumps = [
                asyncio.create_task(_pump(client, upstream)),
                asyncio.create_task(_pump(upstream, client)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            await client.close()
    finally:
        upstream.abort()


async def _pump(source: RawConnection, sink: RawConnection) -> None:
    while data := await source.read():
        try:
            await sink.write(data)
        except OSError:
            return
