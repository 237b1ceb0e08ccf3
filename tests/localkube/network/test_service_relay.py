"""The relay alone, on both event loops: uvloop reads a connection that was paused as it was made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from lab.localkube.network.relay import BackendSide, ClientSide

HOST = "127.0.0.1"
LOOPS = ["asyncio", "uvloop"]


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
    return factory


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what was said once the client has said all."""
    writer.write(await reader.read())
    writer.close()


async def through_a_late_dial(parts: list[bytes], *, end_early: bool) -> bytes:
    """What a client gets back that has spoken, and perhaps finished, before its backend is dialled."""
    said = asyncio.Event()
    connections: set[ClientSide] = set()

    async def dial(client: str) -> BackendSide | None:
        await said.wait()
        for _ in range(20):  # rounds of the loop, in each of which what has come is read
            await asyncio.sleep(0)
        _, side = await asyncio.get_running_loop().create_connection(BackendSide, HOST, backend_port)
        return side

    async with contextlib.AsyncExitStack() as stack:
        backend = await asyncio.start_server(echo, HOST, 0)
        stack.callback(backend.close)
        backend_port = backend.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        front = await loop.create_server(lambda: ClientSide(dial, connections), HOST, 0)
        stack.callback(front.close)
        reader, writer = await asyncio.open_connection(HOST, front.sockets[0].getsockname()[1])
        stack.callback(writer.close)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if end_early:
            writer.write_eof()
        said.set()
        if not end_early:
            while not any(side.peer for side in connections):
                await asyncio.sleep(0)
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 10)


@pytest.mark.parametrize("end_early", [False, True])
@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_client_says_before_a_backend_is_found_is_relayed_in_order(loop: str, end_early: bool) -> None:
    parts = [b"GET / HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n" + b"z" * 300_000]
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        assert runner.run(through_a_late_dial(parts, end_early=end_early)) == b"".join(parts)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_backend_that_speaks_first_loses_nothing(loop: str) -> None:
    greeting = b"220 hello\r\n" * 1000

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async def scenario() -> bytes:
        backend = await asyncio.start_server(greet, HOST, 0)
        port = backend.sockets[0].getsockname()[1]

        async def dial(client: str) -> BackendSide | None:
            _, side = await asyncio.get_running_loop().create_connection(BackendSide, HOST, port)
            for _ in range(20):
                await asyncio.sleep(0)
            return side

        front = await asyncio.get_running_loop().create_server(lambda: ClientSide(dial, set()), HOST, 0)
        with contextlib.closing(backend), contextlib.closing(front):
            reader, writer = await asyncio.open_connection(HOST, front.sockets[0].getsockname()[1])
            with contextlib.closing(writer):
                return await asyncio.wait_for(reader.read(), 10)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        assert runner.run(scenario()) == greeting
