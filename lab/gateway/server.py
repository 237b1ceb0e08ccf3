"""The HTTPS side: every request, whatever its path and method, goes through the chain."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import aiohttp
from aiohttp import web

from lab.core.clock import Clock, rfc3339
from lab.errors import NotReadyError
from lab.gateway.control import Control
from lab.gateway.exchange import Answer, Exchange, Handler
from lab.gateway.passage import Passages, StreamCutError
from lab.gateway.target import read_target
from lab.kube.status import StatusError

log = logging.getLogger("lab.gateway")
_DRAIN_SECONDS = 2.0


class Front:
    """Turns requests into exchanges and answers into responses. A mutation that has started is finished
    and recorded even when its client goes away."""

    def __init__(self, chain: Handler, control: Control, passages: Passages, clock: Clock) -> None:
        self._chain = chain
        self._control = control
        self._passages = passages
        self._clock = clock
        self._orphans: set[asyncio.Task[Answer]] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        exchange = Exchange(
            request=request,
            arrived=rfc3339(self._clock.now()),
            started=self._clock.monotonic(),
            control=self._control.last,
        )
        if _is_read(request):
            return await _respond(request, await self._chain(exchange))
        task = asyncio.ensure_future(self._chain(exchange))
        try:
            answer = await asyncio.shield(task)
        except asyncio.CancelledError:
            self._abandon(exchange, task)
            raise
        if exchange.target is not None and exchange.target.info.is_connect:
            return await self._respond_until_cut(exchange, answer)
        return await _respond(request, answer)

    async def _respond_until_cut(self, exchange: Exchange, answer: Answer) -> web.StreamResponse:
        """A stream into a pod stays open until one side ends it, or the kill switch does."""
        request = exchange.request
        try:
            async with self._passages.streaming(exchange, self._control.last):
                return await _respond(request, answer)
        except StreamCutError:
            if request.transport is not None:
                request.transport.abort()
            return web.StreamResponse()

    async def drain(self) -> None:
        """Give mutations whose clients left a moment to be recorded, then end them."""
        if self._orphans:
            _, late = await asyncio.wait(self._orphans, timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _abandon(self, exchange: Exchange, task: asyncio.Task[Answer]) -> None:
        if not exchange.mutating:
            task.cancel()
        self._orphans.add(task)
        task.add_done_callback(self._let_go)

    def _let_go(self, task: asyncio.Task[Answer]) -> None:
        self._orphans.discard(task)
        if not task.cancelled() and task.exception() is None:
            task.result().drop()


def _is_read(request: web.BaseRequest) -> bool:
    """Can it change nothing? Then it may end wherever it is when its client leaves."""
    try:
        return read_target(request.method, request.raw_path).is_read
    except StatusError:
        return False


async def _respond(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    if answer.take_over is not None:
        return await answer.take_over(request)
    if answer.stream is None:
        answer.headers.popall("Content-Length", None)
        return web.Response(status=answer.code, headers=answer.headers, body=answer.body)
    stream = answer.stream
    if isinstance(stream, aiohttp.ClientResponse) and stream.content.is_eof() and request.method != "HEAD":
        # all of it is here: head and body go out together, and wake the client once
        answer.headers.popall("Content-Length", None)
        return web.Response(status=answer.code, headers=answer.headers, body=stream.content.read_nowait())
    response = web.StreamResponse(status=answer.code, headers=answer.headers)
    try:
        await response.prepare(request)
        if request.method != "HEAD":
            async for chunk in stream.content.iter_any():
                await response.write(chunk)
        await response.write_eof()
    except OSError:
        log.info("the client left while it was being answered")
    except Exception as error:  # upstream broke off: the client must see that, not a clean end
        log.warning("upstream broke off: %s", type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
    finally:
        stream.close()
    return response


def server_context(folder: Path) -> ssl.SSLContext:
    """TLS with the mounted certificate. Raises NotReadyError when it is not there or not usable."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    except (OSError, ssl.SSLError) as error:
        raise NotReadyError(
            f"the certificate in {folder} cannot be used: {error}",
            hint="mount the Secret gateway-tls with tls.crt and tls.key",
        ) from error
    return context


async def start_front(front: Front, host: str, port: int, context: ssl.SSLContext | None) -> web.ServerRunner:
    """Listen. The runner's `cleanup` ends it. Raises NotReadyError when the address cannot be bound."""
    server = web.Server(front.handle, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=context, reuse_address=True).start()
    except OSError as error:
        await runner.cleanup()
        raise NotReadyError(
            f"the gateway cannot listen on {host}:{port}: {error.strerror}",
            hint="another process has the address",
        ) from error
    return runner
