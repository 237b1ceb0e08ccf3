"""The small HTTP server that every lab pod is: health, readiness, metrics, and an end on SIGTERM.

    async def serve(app, *, host=None, port=8080, ready=None, registry, stop=None, ssl_context=None) -> None
    def run(main) -> NoReturn

A pod program is then

    async def main() -> None:
        registry = CollectorRegistry()
        app = web.Application()
        app.router.add_get("/orders/{id}", show)
        await serve(app, ready=database_answers, registry=registry)

    if __name__ == "__main__":
        run(main)

`serve` returns when the process gets SIGTERM or SIGINT (or `stop` is set): open requests have a second to
finish, then the caller cleans up. Background work belongs in `app.cleanup_ctx`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import signal
import ssl
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from lab.errors import LabError

Ready = Callable[[], Awaitable[bool] | bool]
"""Whether the pod can take traffic now. An exception counts as no."""

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_SHUTDOWN_SECONDS = 1.0
log = logging.getLogger("lab.pod")


def bind_host() -> str:
    """The address a pod listens on: `LAB_LISTEN`, else `POD_IP`, or loopback outside a cluster."""
    return os.environ.get("LAB_LISTEN") or os.environ.get("POD_IP") or "127.0.0.1"


def add_probes(app: web.Application, *, ready: Ready | None, registry: CollectorRegistry) -> None:
    """Add /healthz, /readyz and /metrics to an application. A path that it serves already is left alone."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if await _is_ready(ready):
            return web.Response(text="ok\n")
        return web.Response(status=503, text="not ready\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    served = {resource.canonical for resource in app.router.resources()}
    for path, handler in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        if path not in served:
            app.router.add_get(path, handler)


async def _is_ready(ready: Ready | None) -> bool:
    if ready is None:
        return True
    try:
        answer = ready()
        return bool(await answer) if inspect.isawaitable(answer) else bool(answer)
    except Exception as error:  # a probe answers no; it must not take the pod down
        log.info("not ready: %s", error)
        return False


async def serve(
    app: web.Application,
    *,
    host: str | None = None,
    port: int = 8080,
    ready: Ready | None = None,
    registry: CollectorRegistry,
    stop: asyncio.Event | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> None:
    """Serve `app` with probes and metrics until SIGTERM, SIGINT or `stop`.

    host: address to bind, by default `bind_host()`. ready: see `Ready`; None means always ready.
    Raises OSError when the address cannot be bound.
    """
    stop = stop or asyncio.Event()
    add_probes(app, ready=ready, registry=registry)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    restore = _stop_on_signals(stop)
    try:
        address = host or bind_host()
        await web.TCPSite(runner, address, port, ssl_context=ssl_context, reuse_address=True).start()
        log.info("listening on %s:%d", address, port)
        await stop.wait()
        log.info("stopping")
    finally:
        await runner.cleanup()
        restore()


def _stop_on_signals(stop: asyncio.Event) -> Callable[[], None]:
    """Set `stop` on SIGTERM and SIGINT; gives the function that takes the handlers away again."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)

    def restore() -> None:
        for number in signals:
            loop.remove_signal_handler(number)

    return restore


def configure_logging() -> None:
    """One line per event on stdout: time, level, logger, message."""
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        force=True,
    )


def run(main: Callable[[], Coroutine[Any, Any, None]], loop_factory: LoopFactory | None = None) -> NoReturn:
    """Run a pod program to its end: exit code 0, or the LabError's with its message and hint on stdout.

    loop_factory: what makes the event loop; by default asyncio's own.
    """
    configure_logging()
    code = 0
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        pass
    except LabError as error:
        log.error("%s%s", error.message, f" ({error.hint})" if error.hint else "")
        code = error.exit_code
    sys.stdout.flush()
    sys.exit(code)
