"""One relayed TCP connection: two transports that feed each other.

Back-pressure: while one side's send buffer is full the other side is not read. A half-close is passed on;
a reset becomes a reset. There is no idle timeout, so watches live as long as both ends want.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import cast

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Close a connection with RST instead of FIN, dropping what is unsent."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


class Side(asyncio.Protocol):
    """One end of a relayed connection. What it receives goes to `peer`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: Side | None = None
        self._early: list[bytes] = []
        self._ended = False
        self._lost = False

    @property
    def ended(self) -> bool:
        """Has the other end said that it will send no more?"""
        return self._ended

    @property
    def lost(self) -> bool:
        """Is the connection gone?"""
        return self._lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.peer is None:
            self._early.append(data)  # uvloop starts to read after connection_made, even when paused there
            if self.transport is not None:
                self.transport.pause_reading()
        elif self.peer.transport is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        return self.peer is None or self._pass_end_on(self.peer)

    def join(self, peer: Side) -> None:
        """Relay to `peer` from now on, beginning with what has come already."""
        self.peer = peer
        if peer.transport is not None and not peer.transport.is_closing():
            peer.transport.writelines(self._early)
            self._early.clear()
            if self._ended:
                self._pass_end_on(peer)

    def _pass_end_on(self, peer: Side) -> bool:
        if peer.transport is None:
            return False
        if peer.ended:
            self.close()
            peer.close()
            return True
        if peer.transport.can_write_eof() and not peer.transport.is_closing():
            with contextlib.suppress(OSError, RuntimeError):
                peer.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self.peer is not None and self.peer.transport is not None and not self.peer.lost:
            if exc is not None:
                reset(self.peer.transport)
            else:
                self.peer.close()

    def pause_writing(self) -> None:
        self._let_peer_read(False)

    def resume_writing(self) -> None:
        self._let_peer_read(True)

    def _let_peer_read(self, allowed: bool) -> None:
        transport = self.peer.transport if self.peer is not None else None
        if transport is None or transport.is_closing():
            return
        with contextlib.suppress(RuntimeError):
            if allowed:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def close(self) -> None:
        """Send what is buffered, then close."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()


class BackendSide(Side):
    """The dialled end. It is not read until it is joined, or its first words would be lost."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).pause_reading()


class ClientSide(Side):
    """The accepted end. It is not read until `dial` has found a backend; without one it is reset."""

    def __init__(
        self,
        dial: Callable[[str], Awaitable[BackendSide | None]],
        connections: set[ClientSide],
    ) -> None:
        super().__init__()
        self._dial = dial
        self._connections = connections
        self._dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)
        assert self.transport is not None
        self.transport.pause_reading()
        self._dialling = asyncio.create_task(self._join())

    async def _join(self) -> None:
        assert self.transport is not None
        client = self.transport.get_extra_info("peername") or ("",)
        backend = await self._dial(str(client[0]))
        if backend is None:
            reset(self.transport)
        elif self.lost:
            backend.close()
        else:
            self.peer, backend.peer = backend, self
            self.join(backend)
            backend.join(self)
            for side in (self, backend):
                if side.transport is not None and not side.transport.is_closing():
                    side.transport.resume_reading()
            if backend.lost:
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._dialling is not None and self.peer is None:
            self._dialling.cancel()
        super().connection_lost(exc)

    def abort(self) -> None:
        """End both ends at once."""
        for side in (self, self.peer):
            if side is not None and side.transport is not None:
                side.transport.abort()
