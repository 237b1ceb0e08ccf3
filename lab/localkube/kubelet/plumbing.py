"""What connects a command with its client: three pipes, or one pseudo-terminal.

client ─stdin─► pour ─► pipe ──────► command             client ─stdin, sizes─► master
       ◄─────── take ◄─ Outlet ◄─ pipe ◄── stdout               ◄──────────────  │ terminal ◄─► command
       ◄─────── take ◄─ Outlet ◄─ pipe ◄── stderr                                └ its keys send signals
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from lab.localkube.kubelet.pipes import Outlet, pour
from lab.localkube.protocols import Streams, Take

LINGER_SECONDS = 5.0
"""How long to wait for output of processes that outlive the command."""
POLL_SECONDS = 0.005
SIZE_SECONDS = 0.2
"""How long a command waits for its terminal's first size."""


class Plumbing:
    """The descriptors of one command. `given` are its own: standard input, output and error."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._open: set[int] = set()
        self._outlets: list[tuple[Outlet, Take]] = []
        self._inlet = -1
        self._terminal = -1
        self.given = self._terminal_ends() if streams.tty else self._pipe_ends()

    def _terminal_ends(self) -> tuple[int, int, int]:
        self._terminal, command = os.openpty()
        self._open |= {self._terminal, command}
        self._outlets.append((Outlet(self._terminal), self._streams.stdout or _drop))
        self._inlet = self._terminal
        return command, command, command

    def _pipe_ends(self) -> tuple[int, int, int]:
        stdin = os.open(os.devnull, os.O_RDWR) if self._streams.stdin is None else self._in()
        self._open.add(stdin)
        return stdin, self._out(self._streams.stdout), self._out(self._streams.stderr)

    def _in(self) -> int:
        read, self._inlet = os.pipe()
        self._open.add(self._inlet)
        return read

    def _out(self, take: Take | None) -> int:
        if take is None:
            null = os.open(os.devnull, os.O_WRONLY)
            self._open.add(null)
            return null
        read, write = os.pipe()
        self._open |= {read, write}
        self._outlets.append((Outlet(read), take))
        return write

    async def first_size(self) -> None:
        """Set the terminal's size before the command looks, if the client tells it soon."""
        if self._streams.tty and self._streams.sizes is not None:
            with contextlib.suppress(TimeoutError, StopAsyncIteration):
                async with asyncio.timeout(SIZE_SECONDS):
                    set_size(self._terminal, await anext(self._streams.sizes))

    def handed_over(self) -> None:
        """The command has its descriptors: close ours of them."""
        for descriptor in set(self.given):
            self._close(descriptor)

    def incoming(self) -> list[Coroutine[Any, Any, None]]:
        """What carries the client's input."""
        carry: list[Coroutine[Any, Any, None]] = []
        if self._streams.stdin is not None:
            carry.append(self._feed(self._streams.stdin))
        if self._streams.tty and self._streams.sizes is not None:
            carry.append(follow_sizes(self._terminal, self._streams.sizes))
        return carry

    def outgoing(self) -> list[Coroutine[Any, Any, None]]:
        """What carries the command's output; each ends when nobody can write to it any more."""
        return [outlet.drain(take) for outlet, take in self._outlets]

    async def _feed(self, chunks: AsyncIterator[bytes]) -> None:
        if self._streams.tty:
            await _controlling(self._terminal)
        await pour(chunks, self._inlet)
        if not self._streams.tty:  # a terminal is ended by its own key
            self._close(self._inlet)

    def linger(self) -> None:
        """The command has ended: do not wait for ever for what it left behind."""
        loop = asyncio.get_running_loop()
        for outlet, _ in self._outlets:
            loop.call_later(LINGER_SECONDS, outlet.last)

    def close(self) -> None:
        """Close everything; a terminal hangs up on its processes."""
        for descriptor in list(self._open):
            self._close(descriptor)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)


async def _controlling(terminal: int) -> None:
    """Wait until a terminal controls a session: its keys send no signals before."""
    with contextlib.suppress(OSError):  # where only the other end may be asked
        while not os.tcgetpgrp(terminal):
            await asyncio.sleep(POLL_SECONDS)


async def _drop(data: bytes) -> None:
    """Nobody wants to know."""


async def follow_sizes(terminal: int, sizes: AsyncIterator[tuple[int, int]]) -> None:
    """Give a terminal each size; the kernel tells its programs by SIGWINCH."""
    async for size in sizes:
        set_size(terminal, size)


def set_size(terminal: int, size: tuple[int, int]) -> None:
    """Set a terminal's (columns, rows)."""
    columns, rows = size
    with contextlib.suppress(OSError):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
