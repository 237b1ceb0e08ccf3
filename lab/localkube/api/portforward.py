"""Forwarding ports into a pod, in the three forms that clients speak.

SPDY, or SPDY inside a WebSocket (kubectl from 1.31 on): each connection is a pair of streams, error and data,
with the same request id. Channels of a WebSocket (the Python client): 2i carries the data of the i-th port
and 2i+1 its errors; the first message on each is the port as two bytes, little end first.
Source: kubelet pkg/cri/streaming/portforward.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from lab.kube.status import bad_request
from lab.kube.takeover import taken
from lab.localkube.api.spdyconnection import Inbox, SpdyConnection, Stream, Wire
from lab.localkube.api.upgrading import is_websocket, open_spdy, open_websocket

TUNNEL = "SPDY/3.1+portforward.k8s.io"
SPDY_PROTOCOLS = ("portforward.k8s.io",)
CHANNELS = ("v4.channel.k8s.io", "portforward.k8s.io")
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Place:
    """A pod to connect to. `present` says whether it is still there: its address may get another owner."""

    pod: str
    uid: str
    address: str
    present: Callable[[], bool]

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to one of its ports. Raises OSError, in a kubelet's words."""
        try:
            if not self.present():
                raise OSError(f'failed to find sandbox "{self.pod}" in store: not found')
            return await asyncio.open_connection(self.address, port, limit=_CHUNK)
        except OSError as error:
            why = str(error)
            if error.errno is not None:
                number = f"{self.address}:{port}"
                reason = os.strerror(error.errno).lower()
                why = f"failed to connect to {number}: dial tcp4 {number}: connect: {reason}"
            text = f"error forwarding port {port} to pod {self.pod}, uid {self.uid}: {why}"
            raise OSError(text) from error


async def forward_ports(request: web.Request, place: Place) -> web.StreamResponse:
    """Serve a port-forward request until either side ends it. Raises StatusError before it has begun."""
    if not is_websocket(request):
        connection, _ = open_spdy(request, SPDY_PROTOCOLS)
        await PairedStreams(connection, place).run()
        return taken()
    if TUNNEL in request.headers.get("Sec-WebSocket-Protocol", ""):
        socket = await open_websocket(request, (TUNNEL,))
        await PairedStreams(_Tunnel(socket), place).run()
        return socket
    ports = parse_ports(request.query.getall("ports", []))
    socket = await open_websocket(request, CHANNELS)
    await Channels(socket, place).run(ports)
    return socket


def parse_ports(values: Sequence[str]) -> list[int]:
    """The ports of a request, given repeatedly or comma separated. Raises StatusError 400."""
    texts = [text for value in values for text in value.split(",") if text]
    if not texts:
        raise bad_request('query parameter "ports" is required')
    if not all(_is_port(text) for text in texts):
        raise bad_request(f"unable to parse {','.join(texts)!r} as ports")
    return [int(text) for text in texts]


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6 and 0 < int(text) < 65536


class _Tunnel:
    """A WebSocket whose binary messages are a stream of bytes."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """Wire."""
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY:
                if message.data:
                    return bytes(message.data)
            elif message.type is not WSMsgType.TEXT:
                return b""

    async def write(self, data: bytes) -> None:
        """Wire."""
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        """Wire."""
        await self._socket.close()


class PairedStreams:
    """One SPDY connection to one pod."""

    def __init__(self, wire: Wire, place: Place) -> None:
        self._connection = SpdyConnection(wire, self._accept)
        self._place = place
        self._pairs: dict[str, dict[str, Stream]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve it until the client goes."""
        try:
            await self._connection.run()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._connection.close()

    def _accept(self, stream: Stream) -> None:
        kind = stream.headers.get("streamtype", "")
        if kind not in ("error", "data") or not _is_port(stream.headers.get("port", "")):
            raise ValueError("a stream needs a type and a port")
        first = stream.identity if kind == "error" else stream.identity - 2
        request = stream.headers.get("requestid") or str(first)
        pair = self._pairs.setdefault(request, {})
        if kind in pair:
            raise ValueError(f"{kind} stream already assigned")
        pair[kind] = stream
        if len(pair) == 2:
            del self._pairs[request]
            task = asyncio.create_task(self._forward(pair["data"], pair["error"]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, data: Stream, error: Stream) -> None:
        """One connection to the pod, from its beginning to its end."""
        try:
            reader, writer = await self._place.connect(int(data.headers["port"]))
        except OSError as refused:
            with contextlib.suppress(ConnectionError):
                await error.write(str(refused).encode())
            await self._end(data, error)
            return
        sending = asyncio.create_task(_send(data.inbox, writer, data))
        try:
            with contextlib.suppress(OSError):
                while chunk := await reader.read(_CHUNK):
                    await data.write(chunk)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()
        await self._end(data, error)

    async def _end(self, data: Stream, error: Stream) -> None:
        await error.end()
        await data.end()
        for stream in (data, error):
            await self._connection.forget(stream)


async def _send(inbox: Inbox, writer: asyncio.StreamWriter, stream: Stream | None = None) -> None:
    """What the client sends, to the pod, and its end of sending; a stream that it resets ends it all."""
    with contextlib.suppress(OSError, RuntimeError):
        async for chunk in inbox:
            writer.write(chunk)
            await writer.drain()
        if stream is not None and stream.reset_by_client:
            writer.transport.abort()
        elif writer.can_write_eof():
            writer.write_eof()
    async for _ in inbox:  # nobody takes it any more, and it must not hold up the rest
        pass


class Channels:
    """One WebSocket whose messages begin with the number of their channel."""

    def __init__(self, socket: web.WebSocketResponse, place: Place) -> None:
        self._socket = socket
        self._place = place
        self._inboxes: list[Inbox] = []

    async def run(self, ports: Sequence[int]) -> None:
        """Serve it until the client goes, or each port's connection has ended."""
        self._inboxes = [Inbox() for _ in ports]
        receiving = asyncio.create_task(self._receive())
        forwards = [asyncio.create_task(self._forward(index, port)) for index, port in enumerate(ports)]
        ended = asyncio.ensure_future(asyncio.wait(forwards))
        try:
            await asyncio.wait({receiving, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (receiving, ended, *forwards):
                task.cancel()
            await asyncio.gather(receiving, ended, *forwards, return_exceptions=True)
            await self._socket.close()

    async def _receive(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.BINARY and message.data:
                index, error = divmod(message.data[0], 2)
                if not error and index < len(self._inboxes):
                    await self._inboxes[index].put(message.data[1:])

    async def _forward(self, index: int, port: int) -> None:
        for channel in (2 * index, 2 * index + 1):
            await self._socket.send_bytes(bytes([channel]) + struct.pack("<H", port))
        try:
            reader, writer = await self._place.connect(port)
        except OSError as error:
            await self._socket.send_bytes(bytes([2 * index + 1]) + str(error).encode())
            return
        sending = asyncio.create_task(_send(self._inboxes[index], writer))
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(_CHUNK):
                    await self._socket.send_bytes(bytes([2 * index]) + data)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()
