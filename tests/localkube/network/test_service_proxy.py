"""The service proxy over real sockets, on the real registry."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from address_blocks import own_blocks

from lab.core.clock import SystemClock
from lab.kube.resources import builtin
from lab.localkube.network.affinity import MOST_CLIENTS, Affinity
from lab.localkube.network.backends import routes
from lab.localkube.network.proxy import ServiceProxy
from lab.localkube.registry.registry import open_registry

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
FRONT = 8000
PORT = 18080
_blocks = own_blocks(100, 249)


class Net:
    """A registry with a proxy, and backends to put behind services."""

    def __init__(self, registry: Any, block: int) -> None:
        self.registry = registry
        self.block = block
        self._stack = contextlib.AsyncExitStack()

    async def backend(self, number: int, handler: Handler, port: int = PORT) -> str:
        """Serve on a pod address; gives the address."""
        address = f"127.{self.block}.1.{number}"
        server = await asyncio.start_server(handler, address, port)
        self._stack.callback(server.close)
        return address

    async def close(self) -> None:
        await self._stack.aclose()

    def service(self, name: str, **spec: Any) -> str:
        """Create a service; gives its cluster IP."""
        body = {"metadata": {"name": name}, "spec": {"ports": [{"port": FRONT}]} | spec}
        made = self.registry.create(builtin("Service"), "default", body)
        return str(made["spec"]["clusterIP"])

    def endpoints(self, name: str, conditions: dict[str, dict[str, bool]], port: int = PORT) -> None:
        """Set a service's EndpointSlice: address → conditions."""
        resource = builtin("EndpointSlice")
        body = {
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [ip], "conditions": each} for ip, each in conditions.items()],
        }
        if self.registry.list(resource, "default", field_selector=f"metadata.name={name}").items:
            change = {"endpoints": body["endpoints"]}
            self.registry.patch(resource, "default", name, change, "application/merge-patch+json")
        else:
            self.registry.create(resource, "default", body)


READY = {"ready": True, "serving": True, "terminating": False}
UNREADY = {"ready": False, "serving": False, "terminating": False}
LEAVING = {"ready": False, "serving": True, "terminating": True}


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Net]:
    block = next(_blocks)
    registry = open_registry(
        tmp_path / "store", clock=SystemClock(), service_range=[f"127.{block}.200.{n}" for n in range(1, 20)]
    )
    task = asyncio.create_task(ServiceProxy(registry, drain_seconds=0.2).run())
    network = Net(registry, block)
    try:
        yield network
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await network.close()
        registry.close()


def says(text: str) -> Handler:
    """A backend that greets and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode())
        writer.close()
        await writer.wait_closed()

    return handle


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A backend that answers what it got, once the client has said all."""
    writer.write(await reader.read())
    writer.close()


async def ask(ip: str, port: int = FRONT) -> str:
    """Read what a service says."""
    reader, writer = await asyncio.open_connection(ip, port)
    try:
        async with asyncio.timeout(5):
            return (await reader.read()).decode()
    finally:
        writer.close()


async def until(attempt: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait for something to come true."""
    async with asyncio.timeout(seconds):
        while not await attempt():
            await asyncio.sleep(0.005)


async def accepts(ip: str, port: int = FRONT) -> bool:
    try:
        _, writer = await asyncio.open_connection(ip, port)
    except OSError:
        return False
    writer.close()
    return True


async def refuses(ip: str, port: int = FRONT) -> bool:
    return not await accepts(ip, port)


async def test_balances_over_ready_endpoints(net: Net) -> None:
    one, two, three = [await net.backend(n, says(f"pod-{n}")) for n in (1, 2, 3)]
    ip = net.service("web")
    net.endpoints("web", {one: READY, two: READY, three: UNREADY})
    await until(lambda: accepts(ip))
    seen = Counter([await ask(ip) for _ in range(20)])
    assert seen == {"pod-1": 10, "pod-2": 10}


async def test_without_endpoints_it_refuses_at_once(net: Net) -> None:
    one = await net.backend(1, says("x"))
    ip = net.service("web")
    assert await refuses(ip)
    net.endpoints("web", {one: READY})
    await until(lambda: accepts(ip))
    net.endpoints("web", {one: UNREADY})
    await until(lambda: refuses(ip))


async def test_skips_a_backend_that_does_not_accept(net: Net) -> None:
    one = await net.backend(1, says("alive"))
    ip = net.service("web")
    net.endpoints("web", {f"127.{net.block}.1.99": READY, one: READY})
    await until(lambda: accepts(ip))
    assert {await ask(ip) for _ in range(6)} == {"alive"}


async def test_resets_when_no_backend_accepts(net: Net) -> None:
    ip = net.service("web")
    net.endpoints("web", {f"127.{net.block}.1.99": READY})
    await until(lambda: accepts(ip))
    with pytest.raises(ConnectionResetError):
        await ask(ip)


async def test_serves_on_while_all_terminate(net: Net) -> None:
    one = await net.backend(1, says("leaving"))
    ip = net.service("web")
    net.endpoints("web", {one: LEAVING})
    await until(lambda: accepts(ip))
    assert await ask(ip) == "leaving"


async def test_half_close_and_much_data(net: Net) -> None:
    one = await net.backend(1, echo)
    ip = net.service("web")
    net.endpoints("web", {one: READY})
    await until(lambda: accepts(ip))
    reader, writer = await asyncio.open_connection(ip, FRONT)
    data = os.urandom(3_000_000)
    writer.write(data)
    writer.write_eof()
    assert await reader.read() == data
    writer.close()


async def test_a_slow_reader_holds_the_sender_back(net: Net) -> None:
    sent = 0
    chunk = b"x" * 65536

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            for _ in range(4000):
                writer.write(chunk)
                await writer.drain()
                sent += len(chunk)

    one = await net.backend(1, flood)
    ip = net.service("web")
    net.endpoints("web", {one: READY})
    await until(lambda: accepts(ip))
    sent = 0
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, (ip, FRONT))
    with contextlib.closing(client):
        last = -1
        while sent != last:
            last = sent
            await asyncio.sleep(0.15)
        assert 0 < sent < 40_000_000


async def test_a_reset_is_passed_on(net: Net) -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    one = await net.backend(1, slam)
    ip = net.service("web")
    net.endpoints("web", {one: READY})
    await until(lambda: accepts(ip))
    reader, writer = await asyncio.open_connection(ip, FRONT)
    writer.write(b"x")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_connections_outlive_their_endpoint(net: Net) -> None:
    async def lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    one = await net.backend(1, lines)
    ip = net.service("web")
    net.endpoints("web", {one: READY})
    await until(lambda: accepts(ip))
    reader, writer = await asyncio.open_connection(ip, FRONT)
    writer.write(b"one\n")
    assert await reader.readline() == b"ONE\n"
    net.endpoints("web", {})
    await until(lambda: refuses(ip))
    writer.write(b"two\n")
    assert await reader.readline() == b"TWO\n"
    writer.close()


async def test_endpoints_object_serves_where_there_are_no_slices(net: Net) -> None:
    one = await net.backend(1, says("manual"))
    ip = net.service("web")
    subsets = [{"addresses": [{"ip": one}], "ports": [{"port": PORT}]}]
    body = {"metadata": {"name": "web"}, "subsets": subsets}
    net.registry.create(builtin("Endpoints"), "default", body)
    await until(lambda: accepts(ip))
    assert await ask(ip) == "manual"


async def test_node_port(net: Net) -> None:
    host = f"127.{net.block}.0.1"
    addresses = [{"type": "InternalIP", "address": host}]
    net.registry.create(builtin("Node"), "", {"metadata": {"name": "n"}})
    net.registry.patch(
        builtin("Node"),
        "",
        "n",
        {"status": {"addresses": addresses}},
        "application/merge-patch+json",
        subresource="status",
    )
    one = await net.backend(1, says("node"))
    net.service("web", type="NodePort", ports=[{"port": FRONT, "nodePort": 30123}])
    net.endpoints("web", {one: READY})
    await until(lambda: accepts(host, 30123))
    assert await ask(host, 30123) == "node"


async def test_deleted_service_is_closed(net: Net) -> None:
    one = await net.backend(1, says("x"))
    ip = net.service("web")
    net.endpoints("web", {one: READY})
    await until(lambda: accepts(ip))
    net.registry.delete(builtin("Service"), "default", "web")
    await until(lambda: refuses(ip))


async def test_taken_address_is_retried(
    net: Net, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.localkube.network.proxy.RETRY_BIND", 0.05)
    caplog.set_level(logging.WARNING)
    one = await net.backend(1, says("mine"))
    ip = net.service("web", ports=[{"port": 18081, "targetPort": PORT}])
    squatter = await asyncio.start_server(says("squatter"), ip, 18081)
    net.endpoints("web", {one: READY})

    async def complained() -> bool:
        return "it is taken; trying on" in caplog.text

    await until(complained)
    assert await ask(ip, 18081) == "squatter"
    squatter.close()
    await squatter.wait_closed()

    async def mine() -> bool:
        return await accepts(ip, 18081) and await ask(ip, 18081) == "mine"

    await until(mine)


async def test_sticky_service_keeps_a_client_on_one_backend(net: Net) -> None:
    one, two, three = [await net.backend(n, says(f"pod-{n}")) for n in (1, 2, 3)]
    ip = net.service("web", sessionAffinity="ClientIP")
    net.endpoints("web", {one: READY, two: READY})
    await until(lambda: accepts(ip))
    [mine] = {await ask(ip) for _ in range(6)}
    net.endpoints("web", {three: READY, one: READY, two: READY})
    others = {"pod-1": two, "pod-2": one}
    assert {await ask(ip) for _ in range(6)} == {mine}, "other endpoints come"
    net.endpoints("web", {others[mine]: READY})
    await until(lambda: asked(ip, f"pod-{1 if mine == 'pod-2' else 2}"))


async def asked(ip: str, text: str) -> bool:
    return await ask(ip) == text


def test_affinity_ends_when_the_client_has_been_away_or_its_backend_is() -> None:
    table, one, two = Affinity(), ("127.0.0.1", 1), ("127.0.0.1", 2)
    assert table.backend_of("a", [one, two], 10, 0.0) is None
    table.remember("a", two, 0.0)
    assert table.backend_of("a", [one, two], 10, 9.0) == two
    table.remember("a", two, 9.0)
    assert table.backend_of("a", [one, two], 10, 18.9) == two
    assert table.backend_of("a", [one, two], 10, 19.0) is None
    assert table.backend_of("a", [one], 10, 10.0) is None
    assert table.backend_of("b", [one, two], 10, 10.0) is None
    for number in range(MOST_CLIENTS):
        table.remember(str(number), one, 20.0)
    assert table.backend_of("a", [two], 100, 20.0) is None


def test_a_service_says_how_long_its_affinity_lasts() -> None:
    service = {"metadata": {"name": "web", "namespace": "x"}, "spec": {"clusterIP": "127.0.0.9"}}
    spec = service["spec"] | {"ports": [{"port": 1}], "sessionAffinity": "ClientIP"}
    [route] = routes({**service, "spec": spec}, [], None)
    assert route.affinity == 10800
    config = {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 7}}}
    [route] = routes({**service, "spec": spec | config}, [], None)
    assert route.affinity == 7


async def test_several_ports_each_with_its_own_targets(net: Net) -> None:
    """A service without selector, with slices made by hand: two of them, and a port without a backend."""
    one, two = await net.backend(1, says("web")), await net.backend(2, says("web"))
    await net.backend(1, says("metrics"), port=PORT + 1)
    ports = [{"name": name, "port": FRONT + n} for n, name in enumerate(("web", "metrics", "none"))]
    ip = net.service("web", ports=ports)
    for number, (address, targets) in enumerate(
        ((one, {"web": PORT, "metrics": PORT + 1}), (two, {"web": PORT}))
    ):
        body = {
            "metadata": {"name": f"by-hand-{number}", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": name, "port": port, "protocol": "TCP"} for name, port in targets.items()],
            "endpoints": [{"addresses": [address]}],
        }
        net.registry.create(builtin("EndpointSlice"), "default", body)
    await until(lambda: accepts(ip))
    await until(lambda: accepts(ip, FRONT + 1))
    assert [await ask(ip) for _ in range(4)] == ["web"] * 4
    assert await ask(ip, FRONT + 1) == "metrics"
    assert await refuses(ip, FRONT + 2)


async def test_new_connections_leave_a_terminating_endpoint_and_old_ones_stay(net: Net) -> None:
    async def echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line)
        writer.close()

    leaving = await net.backend(1, echo_lines)
    staying = await net.backend(2, says("staying"))
    ip = net.service("web")
    net.endpoints("web", {leaving: READY})
    await until(lambda: accepts(ip))
    reader, writer = await asyncio.open_connection(ip, FRONT)
    writer.write(b"before\n")
    assert await reader.readline() == b"before\n"
    net.endpoints("web", {leaving: LEAVING, staying: READY})

    async def moved() -> bool:
        return await ask_quickly(ip) == "staying"

    await until(moved)
    assert [await ask(ip) for _ in range(6)] == ["staying"] * 6
    writer.write(b"after\n")
    assert await reader.readline() == b"after\n"
    writer.close()
    net.endpoints("web", {leaving: LEAVING, staying: {**LEAVING, "serving": False}})

    async def back() -> bool:
        return await ask_quickly(ip) == ""

    await until(back)


async def ask_quickly(ip: str) -> str:
    """What a service says to a client that says nothing itself and then no more."""
    reader, writer = await asyncio.open_connection(ip, FRONT)
    writer.write_eof()
    try:
        return (await reader.read()).decode()
    except ConnectionError:
        return "reset"
    finally:
        writer.close()
