"""Streams of a SPDY/3.1 connection, over a connection that was taken over or inside a WebSocket.

As Kubernetes' own implementation has it, windows are not used: a reader that is slow holds up the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from lab.localkube.api.spdy import (
    CANCEL,
    DATA,
    GOAWAY,
    PING,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SYN_STREAM,
    Frame,
    Framer,
    data_frame,
    goaway_frame,
    ping_frame,
    reset_frame,
)

MOST_STREAMS = 512
"""Open streams of one connection; more are refused."""
MOST_UNREAD = 256 * 1024
"""Bytes of one stream that wait to be taken, give or take a read."""
_PIECE = 64 * 1024


class Wire(Protocol):
    """What carries the frames."""

    async def read(self) -> bytes:
        """Some bytes; b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Send them together. Raises ConnectionError."""

    async def close(self) -> None:
        """Close it."""


class Inbox:
    """Bytes on their way to somebody who takes them in his own time."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._moved = asyncio.Condition()

    async def put(self, data: bytes) -> None:
        """Add some, and wait while there is too much. What comes after the end is dropped."""
        if self._ended or not data:
            return
        self._chunks.append(data)
        self._size += len(data)
        async with self._moved:
            self._moved.notify_all()
            await self._moved.wait_for(lambda: self._ended or self._size < MOST_UNREAD)

    async def end(self, *, drop: bool = False) -> None:
        """Nothing more comes. drop: forget what has not been taken, too."""
        self._ended = True
        if drop:
            self._chunks.clear()
        async with self._moved:
            self._moved.notify_all()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            async with self._moved:
                await self._moved.wait_for(lambda: self._chunks or self._ended)
                if not self._chunks:
                    return
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                self._moved.notify_all()
            yield chunk


class Stream:
    """One stream that the client has opened. `inbox` is what it sends."""

    def __init__(self, connection: SpdyConnection, identity: int, headers: Mapping[str, str]) -> None:
        self.identity = identity
        self.headers = headers
        self.inbox = Inbox()
        self.reset_by_client = False
        self._connection = connection
        self._ended = False

    async def write(self, data: bytes) -> None:
        """Send. Raises ConnectionError when the client has gone, or does not want it."""
        for start in range(0, len(data), _PIECE):
            if self._ended:
                raise ConnectionResetError("the stream has ended")
            await self._connection.send(data_frame(self.identity, data[start : start + _PIECE]))

    async def end(self) -> None:
        """Nothing more will be sent."""
        if not self._ended:
            self._ended = True
            with contextlib.suppress(ConnectionError):
                await self._connection.send(data_frame(self.identity, end=True))

    async def cut(self) -> None:
        """End both directions."""
        self._ended = True
        await self.inbox.end(drop=True)


class SpdyConnection:
    """The server's side. `accept` is told of each new stream, and raises ValueError to refuse it."""

    def __init__(self, wire: Wire, accept: Callable[[Stream], None]) -> None:
        self._wire = wire
        self._accept = accept
        self._framer = Framer()
        self._streams: dict[int, Stream] = {}
        self._newest = 0
        self._leaving = False

    async def run(self) -> None:
        """Serve until the client goes. One that does not keep to the protocol is hung up on."""
        try:
            while data := await self._wire.read():
                for frame in self._framer.feed(data):
                    await self._take(frame)
        except (ValueError, ConnectionError):
            await self._wire.close()
        finally:
            for stream in list(self._streams.values()):
                await stream.inbox.end()

    async def send(self, frame: bytes) -> None:
        """Send one frame. Raises ConnectionError."""
        await self._wire.write(frame)

    async def close(self) -> None:
        """Say goodbye and close, after what was written has been sent."""
        with contextlib.suppress(ConnectionError):
            await self.send(goaway_frame(self._newest))
        await self._wire.close()

    async def forget(self, stream: Stream) -> None:
        """The stream is done with: what still comes for it is dropped."""
        self._streams.pop(stream.identity, None)
        await stream.cut()

    async def reset(self, stream: Stream) -> None:
        """Refuse to go on with a stream."""
        await self.forget(stream)
        await self._reset(stream.identity, CANCEL)

    async def _reset(self, identity: int, why: int) -> None:
        await self.send(reset_frame(identity, why))

    async def _take(self, frame: Frame) -> None:
        headers = self._framer.headers(frame)
        stream = self._streams.get(frame.stream)
        if frame.kind == SYN_STREAM:
            await self._open(frame, headers)
        elif frame.kind == DATA and stream is not None:
            await stream.inbox.put(frame.data)
            if frame.ends:
                await stream.inbox.end()
        elif frame.kind == RST_STREAM and stream is not None:
            stream.reset_by_client = True
            await self.forget(stream)
        elif frame.kind == PING and frame.stream % 2:
            await self.send(ping_frame(frame.stream))
        elif frame.kind == GOAWAY:
            self._leaving = True

    async def _open(self, frame: Frame, headers: Mapping[str, str]) -> None:
        identity = frame.stream
        if not identity % 2 or identity <= self._newest:
            await self._reset(identity, PROTOCOL_ERROR)
            raise ValueError(f"stream {identity} comes after {self._newest}")
        self._newest = identity
        if self._leaving or len(self._streams) >= MOST_STREAMS:
            await self._reset(identity, REFUSED_STREAM)
            return
        stream = Stream(self, identity, headers)
        try:
            self._accept(stream)
        except ValueError:
            await self._reset(identity, CANCEL)
            return
        self._streams[identity] = stream
        if frame.ends:
            await stream.inbox.end()
        await self.send(self._framer.reply(identity))
