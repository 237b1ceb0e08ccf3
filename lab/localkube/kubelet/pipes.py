"""Ends of pipes on the event loop: what a process says, and what it is told."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Awaitable, Callable

_BLOCK = 64 * 1024


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


class Outlet:
    """The read end of a pipe or terminal. It is read no faster than what comes out is taken."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._last = False
        self._waiting: asyncio.Future[None] | None = None

    def last(self) -> None:
        """What is in it now is all that is wanted."""
        self._last = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def drain(self, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Give all that comes to `take`, until nobody can write any more."""
        while True:
            try:
                data = os.read(self._descriptor, _BLOCK)
            except BlockingIOError:
                if self._last:
                    return
                await self._readable()
                continue
            except OSError:  # EIO: the last process has closed its terminal
                return
            if not data:
                return
            await take(data)
            await asyncio.sleep(0)  # the loop's other work gets its turn, however much there is

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        loop.add_reader(self._descriptor, _settle, self._waiting)
        try:
            await self._waiting
        finally:
            loop.remove_reader(self._descriptor)
            self._waiting = None


async def pour(chunks: AsyncIterator[bytes], descriptor: int) -> None:
    """Write chunks into a pipe or terminal, no faster than they are read; what nobody reads is dropped."""
    os.set_blocking(descriptor, False)
    async for chunk in chunks:
        left = memoryview(chunk)
        while left:
            try:
                left = left[os.write(descriptor, left) :]
            except BlockingIOError:
                await _writable(descriptor)
            except OSError:
                break


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _settle, waiting)
    try:
        await waiting
    finally:
        loop.remove_writer(descriptor)


def _settle(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
