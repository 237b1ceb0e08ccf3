"""The pod server over real sockets and a real process."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

from lab.metrics.pod import serve


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def get(url: str, seconds: float = 10.0) -> tuple[int, str]:
    """The answer's status and text; asks again until somebody listens."""
    async with asyncio.timeout(seconds), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)


async def test_probes_and_metrics_beside_the_programs_own_paths() -> None:
    registry = CollectorRegistry()
    Gauge("answer", "The answer.", registry=registry).set(42)
    state = {"ready": False}
    app = web.Application()

    async def own(_: web.Request) -> web.Response:
        return web.Response(text="own")

    app.router.add_get("/own", own)
    stop, port = asyncio.Event(), free_port()
    server = asyncio.create_task(
        serve(app, port=port, ready=lambda: state["ready"], registry=registry, stop=stop)
    )
    base = f"http://127.0.0.1:{port}"
    assert await get(f"{base}/healthz") == (200, "ok\n")
    assert (await get(f"{base}/readyz"))[0] == 503
    state["ready"] = True
    assert (await get(f"{base}/readyz"))[0] == 200
    assert "answer 42.0" in (await get(f"{base}/metrics"))[1]
    assert await get(f"{base}/own") == (200, "own")
    stop.set()
    await asyncio.wait_for(server, 5)
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1):
        pass


async def test_a_readiness_check_that_raises_means_not_ready() -> None:
    async def broken() -> bool:
        raise OSError("no database")

    stop, port = asyncio.Event(), free_port()
    server = asyncio.create_task(
        serve(web.Application(), port=port, ready=broken, registry=CollectorRegistry(), stop=stop)
    )
    assert (await get(f"http://127.0.0.1:{port}/readyz"))[0] == 503
    stop.set()
    await asyncio.wait_for(server, 5)


PROGRAM = """
import sys
from aiohttp import web
from prometheus_client import CollectorRegistry
from lab.errors import NotReadyError
from lab.metrics.pod import run, serve

async def main():
    if sys.argv[1] == "0":
        raise NotReadyError("no database", hint="start one")
    await serve(web.Application(), port=int(sys.argv[1]), registry=CollectorRegistry())

run(main)
"""


async def test_a_pod_ends_with_code_zero_on_sigterm() -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(port), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert (await get(f"http://127.0.0.1:{port}/healthz"))[0] == 200
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 10)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    assert b"stopping" in output


async def test_an_error_of_the_lab_is_one_line_and_its_exit_code() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, errors) == (3, b"")
    assert b"no database (start one)" in output
