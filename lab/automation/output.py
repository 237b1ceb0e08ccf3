"""The program's output on its way to the pod's log: lines, bounded in length and in number."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from lab.core.clock import Clock

MAX_LINE = 8 * 1024
LINES_PER_SECOND = 200.0
BURST = 1000.0
_CHUNK = 64 * 1024
_COLOUR = re.compile(r"(\x1b\[[0-9;]{0,32}m)")


class LineLimit:
    """A token bucket over lines. It says how many were dropped once there is room again."""

    def __init__(self, clock: Clock, write: Callable[[str], None]) -> None:
        self._clock = clock
        self._write = write
        self._tokens = BURST
        self._at = clock.monotonic()
        self._dropped = 0

    def line(self, text: str) -> bool:
        """Write the line, or drop it; whether it was written."""
        now = self._clock.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._at) * LINES_PER_SECOND)
        self._at = now
        if self._tokens < 1:
            self._dropped += 1
            return False
        self.flush()
        self._tokens -= 1
        self._write(text)
        return True

    def flush(self) -> None:
        """Say how many lines were dropped since the last time, if any."""
        if self._dropped:
            self._write(f"[runner] {self._dropped} lines of output dropped: too many at once")
            self._dropped = 0


async def forward(stream: asyncio.StreamReader, limit: LineLimit, clock: Clock) -> None:
    """Copy a stream line by line until it ends. Binary output is shown escaped, long lines are cut."""
    pending = b""
    while chunk := await stream.read(_CHUNK):
        lines = (pending + chunk).split(b"\n")
        pending = lines.pop()
        written = [limit.line(_printable(line)) for line in lines]
        if len(pending) > MAX_LINE:
            limit.line(_printable(pending))
            pending = b""
        if not all(written):
            await clock.sleep(0.05)  # a flood waits in the program's own pipe
    if pending:
        limit.line(_printable(pending))
    limit.flush()


def _printable(line: bytes) -> str:
    """Text that is safe to print: of what steers a terminal, only tabs and colours are left."""
    text = line[:MAX_LINE].decode(errors="backslashreplace").rstrip("\r")
    if len(line) > MAX_LINE:
        text += " …"
    pieces = _COLOUR.split(text)
    return "".join(piece if place % 2 else _escaped(piece) for place, piece in enumerate(pieces))


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in text)
