"""Ends of pipes on the event loop: what a process says, and what it is told."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable


def pipe_end(loop: asyncio.AbstractEventLoop, descriptor: int, mode: str) -> io.FileIO:
    """What a transport is made of, so that the descriptor is closed once when the transport is.

    asyncio closes the file. uvloop closes the descriptor and then the file: a second close, of a number
    that by then may belong to another thread's new file.
    """
    closed_by_loop = type(loop).__module__.partition(".")[0] == "uvloop"
    return io.FileIO(descriptor, mode, closefd=not closed_by_loop)


class _Lines(asyncio.Protocol):
    def __init__(self, take: Callable[[bytes], None], closed: asyncio.Future[None]) -> None:
        self._take = take
        self._closed = closed

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)


class OutputPipe:
    """A pipe whose write end, `descriptor`, goes to a process; what arrives is given to `take`."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._read, self.descriptor = os.pipe()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.BaseTransport | None = None

    async def open(self) -> None:
        """Begin to read. Call after the process has its copy of the write end, which is closed here."""
        self.close_descriptor()
        loop = asyncio.get_running_loop()
        handle = pipe_end(loop, self._read, "rb")
        self._transport, _ = await loop.connect_read_pipe(lambda: _Lines(self._take, self._closed), handle)

    def close_descriptor(self) -> None:
        """Close the write end, once."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    async def drained(self, seconds: float = 5.0) -> None:
        """Wait until all writers are gone, at most that long, then stop reading."""
        if self._transport is None:
            self.close_descriptor()
            os.close(self._read)
            return
        await asyncio.wait([self._closed], timeout=seconds)
        self._transport.close()

    def abandon(self) -> None:
        """Stop reading at once, whoever may still write."""
        if self._transport is not None:
            self._transport.close()


async def feed(descriptor: int, chunks: AsyncIterator[bytes]) -> None:
    """Write chunks to a pipe and close it at their end, or when nobody reads any more."""
    loop = asyncio.get_running_loop()
    handle = pipe_end(loop, descriptor, "wb")
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, handle)
    try:
        async for chunk in chunks:
            if transport.is_closing():
                return
            transport.write(chunk)
    finally:
        transport.close()
