"""Forwarding ports over one WebSocket, in the two forms that clients speak.

kubectl tunnels SPDY/3.1: each connection is a pair of streams, error and data, with the same request id.
The Python client uses channels: 2i carries the data of the i-th port and 2i+1 its errors; the first message
on each is the port as two bytes, little end first.
Source: kubelet pkg/cri/streaming/portforward.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Sequence

from aiohttp import WSMsgType, web

from lab.kube.status import StatusError, bad_request
from lab.localkube.api.spdy import (
    PING,
    RST_STREAM,
    SYN_STREAM,
    Frame,
    Framer,
    data_frame,
    ping_frame,
)

TUNNEL = "SPDY/3.1+portforward.k8s.io"
CHANNELS = ("v4.channel.k8s.io", "portforward.k8s.io")
_CHUNK = 65536


def parse_ports(values: Sequence[str]) -> list[int]:
    """The ports of a request, given repeatedly or comma separated. Raises StatusError 400."""
    texts = [text for value in values for text in value.split(",") if text]
    if not texts:
        raise bad_request('query parameter "ports" is required')
    if not all(text.isdecimal() and 0 < int(text) < 65536 for text in texts):
        raise bad_request(f"unable to parse {','.join(texts)!r} as ports")
    return [int(text) for text in texts]


async def forward(socket: web.WebSocketResponse, address: str, ports: Sequence[int]) -> None:
    """Serve a channel connection until either side ends it."""
    writers: dict[int, asyncio.StreamWriter] = {}
    pumps: list[asyncio.Task[None]] = []
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            await socket.send_bytes(bytes([channel]) + struct.pack("<H", port))
        try:
            reader, writers[index] = await asyncio.open_connection(address, port)
        except OSError as error:
            text = f"failed to connect to {address}:{port}: {error.strerror}"
            await socket.send_bytes(bytes([2 * index + 1]) + text.encode())
            continue
        pumps.append(asyncio.create_task(_pump(socket, 2 * index, reader)))
    try:
        await _receive(socket, writers)
    finally:
        for pump in pumps:
            pump.cancel()
        for writer in writers.values():
            writer.close()
        await socket.close()


async def _receive(socket: web.WebSocketResponse, writers: dict[int, asyncio.StreamWriter]) -> None:
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        writer = writers.get(message.data[0] // 2)
        if writer is not None and message.data[0] % 2 == 0:
            writer.write(message.data[1:])
            with contextlib.suppress(ConnectionError):
                await writer.drain()


async def _pump(socket: web.WebSocketResponse, channel: int, reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            await socket.send_bytes(bytes([channel]) + data)
    await socket.close()


class Tunnel:
    """One SPDY connection inside a WebSocket, to one pod."""

    def __init__(self, socket: web.WebSocketResponse, address: str) -> None:
        self._socket = socket
        self._address = address
        self._framer = Framer()
        self._errors: dict[str, int] = {}
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._pumps: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve it until the client goes. A client that does not speak SPDY is hung up on."""
        try:
            async for message in self._socket:
                if message.type is WSMsgType.BINARY:
                    for frame in self._framer.feed(message.data):
                        await self._take(frame)
        except (ValueError, ConnectionError):
            pass
        finally:
            for pump in self._pumps:
                pump.cancel()
            for writer in self._writers.values():
                writer.close()
            await self._socket.close()

    async def _take(self, frame: Frame) -> None:
        if frame.kind == SYN_STREAM:
            await self._open(frame)
        elif frame.kind == PING:
            await self._socket.send_bytes(ping_frame(frame.stream))
        elif frame.kind == RST_STREAM:
            self._drop(frame.stream)
        elif frame.kind == 0 and frame.stream in self._writers:
            writer = self._writers[frame.stream]
            with contextlib.suppress(ConnectionError, RuntimeError):
                writer.write(frame.data)
                if frame.ends:
                    writer.write_eof()
                await writer.drain()

    async def _open(self, frame: Frame) -> None:
        headers = self._framer.headers(frame)
        await self._socket.send_bytes(self._framer.reply(frame.stream))
        request = headers.get("requestid", "")
        if headers.get("streamtype") == "error":
            self._errors[request] = frame.stream
            return
        port, error_stream = headers.get("port", ""), self._errors.pop(request, 0)
        try:
            number = parse_ports([port])[0]
            reader, writer = await asyncio.open_connection(self._address, number)
        except (OSError, StatusError) as error:
            text = (
                f"an error occurred forwarding {port}: failed to connect to {self._address}:{port}: {error}"
            )
            await self._end(frame.stream, error_stream, text)
            return
        self._writers[frame.stream] = writer
        pump = asyncio.create_task(self._pump(frame.stream, error_stream, reader))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    async def _pump(self, stream: int, error_stream: int, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                await self._socket.send_bytes(data_frame(stream, data))
            await self._end(stream, error_stream)
        self._drop(stream)

    async def _end(self, stream: int, error_stream: int, text: str = "") -> None:
        if error_stream:
            await self._socket.send_bytes(data_frame(error_stream, text.encode(), end=True))
        await self._socket.send_bytes(data_frame(stream, end=True))

    def _drop(self, stream: int) -> None:
        writer = self._writers.pop(stream, None)
        if writer is not None:
            writer.close()
