"""Forwarding ports over one WebSocket: the channel protocol that the Python client speaks.

Channel 2i carries the data of the i-th port and 2i+1 its errors; the first message on each is the port as
two bytes, little end first. Source: kubelet pkg/cri/streaming/portforward/websocket.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Sequence

from aiohttp import WSMsgType, web

from lab.kube.status import bad_request

PROTOCOLS = ("v4.channel.k8s.io", "portforward.k8s.io")
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
    """Serve a port-forward connection until either side ends it."""
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
