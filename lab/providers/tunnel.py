"""A way from this host to the lab's Services in a cluster whose addresses it cannot reach.

`python -m lab.providers.tunnel` listens on a loopback port for each port of each Service of some namespaces,
and carries every connection to a ready pod through the API server's port-forward (one WebSocket a connection,
subprotocol v4.channel.k8s.io: each message is a channel's number and bytes; the first two bytes that the
server sends on a channel are the port). It runs until it is ended, and writes what it listens on to a file.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp

from lab.core.namespaces import Namespaces
from lab.errors import LabError
from lab.kube.client import KubeClient
from lab.kube.connector import Connector
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.renaming import Renaming
from lab.kube.status import StatusError

PROTOCOL = "v4.channel.k8s.io"
CHUNK = 64 * 1024
DATA, TROUBLE = 0, 1
BACKEND_SECONDS = 5.0
"""How long a connection waits for a ready pod before it is closed."""


@dataclass(frozen=True, slots=True)
class Door:
    """One port of one Service; `name` is the port's, by which EndpointSlices know it."""

    namespace: str
    service: str
    name: str
    port: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


def doors(services: Sequence[KubeObject]) -> list[Door]:
    """Every TCP port of these Services that has pods behind it."""
    return [
        Door(namespace_of(service), name_of(service), port.get("name", ""), port["port"])
        for service in services
        if service["spec"].get("selector")
        for port in service["spec"].get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    ]


def backend(slices: Sequence[KubeObject], door: Door) -> tuple[str, int] | None:
    """A ready pod behind the door and its port, or None."""
    for found in slices:
        ports = [p["port"] for p in found.get("ports") or () if (p.get("name") or "") == door.name]
        for endpoint in found.get("endpoints") or ():
            pod = endpoint.get("targetRef") or {}
            if ports and pod.get("kind") == "Pod" and (endpoint.get("conditions") or {}).get("ready", True):
                return str(pod["name"]), int(ports[0])
    return None


class Tunnel:
    """Listeners for doors, each with its connections."""

    def __init__(self, kube: KubeClient) -> None:
        self._kube = kube
        connector = Connector(kube.connection)
        self._session = aiohttp.ClientSession(connector=connector, proxy=connector.proxy_url)
        self._servers: list[asyncio.Server] = []

    async def open(self, namespaces: Sequence[str]) -> dict[str, str]:
        """Listen for every door of the namespaces; `namespace/service:port` to `address:port`."""
        found: dict[str, str] = {}
        for namespace in namespaces:
            for door in doors((await self._kube.list("services", namespace))["items"]):
                server = await asyncio.start_server(partial(self._serve, door), "127.0.0.1", 0)
                self._servers.append(server)
                host, port = server.sockets[0].getsockname()[:2]
                found[str(door)] = f"{host}:{port}"
        return found

    async def close(self) -> None:
        """Stop listening and give all connections back."""
        for server in self._servers:
            server.close()
        await self._session.close()
        await self._kube.close()

    async def _serve(self, door: Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(BACKEND_SECONDS):
                pod, port = await self._backend(door)
            await self._carry(door.namespace, pod, port, reader, writer)
        except (LabError, StatusError, OSError, aiohttp.ClientError) as error:  # a time-out is an OSError
            print(f"{door}: {type(error).__name__} {error}", flush=True)
        finally:
            writer.close()

    async def _backend(self, door: Door) -> tuple[str, int]:
        selector = f"kubernetes.io/service-name={door.service}"
        while True:
            slices = await self._kube.list("endpointslices", door.namespace, label_selector=selector)
            found = backend(slices["items"], door)
            if found is not None:
                return found
            await asyncio.sleep(0.2)

    async def _carry(
        self,
        namespace: str,
        pod: str,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        async with await self._connect(namespace, pod, port) as stream:
            sending = asyncio.create_task(_send(reader, stream))
            try:
                await _receive(stream, writer)
            finally:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await sending

    async def _connect(self, namespace: str, pod: str, port: int) -> aiohttp.ClientWebSocketResponse:
        """A port-forward; once more when the credentials were not accepted and there are others."""
        path = self._kube.renaming.path(f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward")
        url = f"{self._kube.connection.server}{path}?ports={port}"
        try:
            return await self._open(url)
        except aiohttp.WSServerHandshakeError as error:
            if error.status != 401 or not await self._kube.renew():
                raise
        return await self._open(url)

    async def _open(self, url: str) -> aiohttp.ClientWebSocketResponse:
        headers = await self._kube.headers()
        return await self._session.ws_connect(
            url, protocols=(PROTOCOL,), headers=headers, ssl=self._kube.tls, max_msg_size=0
        )


async def _send(reader: asyncio.StreamReader, stream: aiohttp.ClientWebSocketResponse) -> None:
    while data := await reader.read(CHUNK):
        await stream.send_bytes(bytes([DATA]) + data)
    await stream.close()  # the protocol has no half-closed connection


async def _receive(stream: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    greeted: set[int] = set()
    async for message in stream:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel not in greeted:  # the port that the channel belongs to
            greeted.add(channel)
            data = data[2:]
        if channel == TROUBLE and data:
            raise ConnectionError(data.decode(errors="replace").strip())
        if channel == DATA and data:
            writer.write(data)
            await writer.drain()


async def _run(kubeconfig: Path, prefix: str, namespaces: Sequence[str], ready: Path) -> None:
    tunnel = Tunnel(KubeClient(load_kubeconfig(kubeconfig), renaming=Renaming(Namespaces(prefix))))
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        found = await tunnel.open(namespaces)
        temporary = ready.with_suffix(".tmp")
        temporary.write_text(json.dumps({"pid": os.getpid(), "addresses": found}))
        temporary.replace(ready)
        await ended.wait()
    finally:
        await tunnel.close()


def main() -> None:
    """The command line: where the cluster is, which namespaces, and where to say what is listened on."""
    parser = argparse.ArgumentParser(prog="python -m lab.providers.tunnel", description="A way to Services.")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    parser.add_argument("--prefix", default="", help="of the lab's namespaces in that cluster")
    parser.add_argument("namespaces", nargs="+", help="their plain names")
    given = parser.parse_args()
    asyncio.run(_run(given.kubeconfig, given.prefix, given.namespaces, given.ready_file))


if __name__ == "__main__":
    main()
