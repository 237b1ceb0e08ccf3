"""Taking an HTTP connection over after 101 Switching Protocols, for what is not WebSocket.

aiohttp knows WebSockets alone. Here the transport gets another protocol, and the old one hears of its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from aiohttp import web

_BLOCK = 64 * 1024


class RawConnection:
    """Bytes both ways. `read` gives b"" at the end; `write` waits while the other side is slow."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """What has come, at most 64 KiB; b"" when the other side has closed or is gone."""
        try:
            return await self.reader.read(_BLOCK)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Send. Raises ConnectionError when the other side is gone."""
        if self._writer.transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        """Close it, after what was written has been sent."""
        with contextlib.suppress(RuntimeError):
            self._writer.close()

    def abort(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()


class _TakenOver(asyncio.StreamReaderProtocol):
    def __init__(self, reader: asyncio.StreamReader, before: asyncio.BaseProtocol) -> None:
        super().__init__(reader)
        self._before: asyncio.BaseProtocol | None = before

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._before is not None:
            self._before.connection_lost(exc)
            self._before = None


def take_over(request: web.BaseRequest, headers: Iterable[tuple[str, str]]) -> RawConnection:
    """Answer 101 with these headers and take the client's connection. Raises ConnectionResetError.

    Whoever handles the request then returns `taken()`, after closing the connection.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client has gone")
    reader = asyncio.StreamReader(limit=_BLOCK)
    protocol = _TakenOver(reader, request.protocol)
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    writer = asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    writer.write(f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode("latin-1"))
    return RawConnection(reader, writer)


def taken() -> web.StreamResponse:
    """What a handler returns for a connection that it has taken over and closed: nothing is sent."""
    return web.StreamResponse()
