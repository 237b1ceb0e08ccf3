"""Container logs: one file per run, each line with the time it came, bounded, followed without polling.

    2026-01-01T12:00:00.123456Z the line
    2026-01-01T12:00:00.123456Z~ the beginning of a very long line, which goes on in the next

A file that reaches its bound becomes `<file>.1`, replacing the one before; readers see both as one stream
of offsets that only grow.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lab.core.clock import Clock, parse_rfc3339, rfc3339

FILE_LIMIT = 5 * 1024 * 1024
LINE_LIMIT = 16 * 1024
"""A line without an end is stored in pieces of this many bytes; readers see it as one."""
_GOES_ON = b"~"
_BLOCK = 256 * 1024


class ContainerLog:
    """The log of one run of a container."""

    def __init__(self, path: Path, clock: Clock, limit: int = FILE_LIMIT) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._clock = clock
        self._limit = limit
        self._rest: dict[str, bytes] = {}
        self._base = 0  # offset of the present file's first byte
        self._older = 0  # length of the rotated file before it
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size
        self._changed: set[asyncio.Event] = set()
        self.closed = False

    @property
    def first(self) -> int:
        """Offset of the oldest byte kept."""
        return self._base - self._older

    @property
    def end(self) -> int:
        """Offset behind the newest byte."""
        return self._base + self._size

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Take output as it comes; whole lines are stored, a stream's unfinished one waits for its end."""
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        pieces = []
        while len(rest) > LINE_LIMIT:
            pieces.append(rest[:LINE_LIMIT])
            rest = rest[LINE_LIMIT:]
        self._rest[stream] = rest
        if lines or pieces:
            self._store(lines, pieces)

    def _store(self, lines: list[bytes], pieces: Sequence[bytes] = ()) -> None:
        """Write whole lines, and after them pieces of one that goes on."""
        if self.closed:
            return
        stamp = rfc3339(self._clock.now()).encode()
        data = b"".join(stamp + b" " + line + b"\n" for line in lines)
        data += b"".join(stamp + _GOES_ON + b" " + piece + b"\n" for piece in pieces)
        if self._size and self._size + len(data) > self._limit:
            self._rotate()
        os.write(self._file, data)
        self._size += len(data)
        for event in self._changed:
            event.set()

    def _rotate(self) -> None:
        os.close(self._file)
        os.replace(self.path, rotated(self.path))
        self._older, self._base, self._size = self._size, self._base + self._size, 0
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        """Store unfinished lines and end the followers."""
        if self.closed:
            return
        rests = [rest for rest in self._rest.values() if rest]
        if rests:
            self._store(rests)
        self._rest.clear()
        self.closed = True
        os.close(self._file)
        for event in self._changed:
            event.set()

    def read(self, offset: int) -> bytes:
        """Whole lines from an offset on, a bounded block of them; empty at the end."""
        offset = max(offset, self.first)
        path, start = (self.path, self._base) if offset >= self._base else (rotated(self.path), self.first)
        with open(path, "rb") as handle:
            handle.seek(offset - start)
            data = handle.read(_BLOCK)
        return data[: data.rfind(b"\n") + 1]

    async def follow(self, offset: int) -> AsyncIterator[bytes]:
        """Stored lines from an offset on, and then new ones until the run ends."""
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            while True:
                changed.clear()
                offset = max(offset, self.first)
                while data := self.read(offset):
                    yield data
                    offset = max(offset, self.first) + len(data)
                if self.closed:
                    return
                await changed.wait()
        finally:
            self._changed.discard(changed)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What a reader wants: see `PodRuntime.logs`."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


async def stream(log: ContainerLog | Path, query: LogQuery) -> AsyncIterator[bytes]:
    """A log as the API serves it."""
    left = query.limit_bytes
    shown = _Shown(query.timestamps)
    async for block in _blocks(log, query):
        data = shown.of(block)
        if left is not None:
            data = data[:left]
            left -= len(data)
        if data:
            yield data
        if left is not None and left <= 0:
            return


async def _blocks(log: ContainerLog | Path, query: LogQuery) -> AsyncIterator[bytes]:
    stored = b"".join(read_all(log))
    behind = log.end if isinstance(log, ContainerLog) else 0
    lines = _lines(stored)
    if query.since is not None:
        lines = [line for line in lines if _time(line) >= query.since]
    if query.tail_lines is not None:
        lines = lines[-query.tail_lines :] if query.tail_lines > 0 else []
    if lines:
        yield b"".join(lines)
    if query.follow and isinstance(log, ContainerLog):
        async for block in log.follow(behind):
            yield block


def read_all(log: ContainerLog | Path) -> list[bytes]:
    """All that is kept, oldest first."""
    path = log.path if isinstance(log, ContainerLog) else log
    return [file.read_bytes() for file in (rotated(path), path) if file.exists()]


def rotated(path: Path) -> Path:
    """Where a full file goes."""
    return path.with_name(path.name + ".1")


def tail(log: ContainerLog | Path, lines: int, limit: int) -> str:
    """The last lines without their times, at most `limit` characters."""
    data = _Shown(timestamps=False).of(b"".join(read_all(log)))
    return b"".join(_lines(data)[-lines:]).removesuffix(b"\n").decode(errors="replace")[-limit:]


class _Shown:
    """What a reader sees of stored lines: with or without their times, and pieces put together."""

    def __init__(self, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._within = False

    def of(self, block: bytes) -> bytes:
        """The next block of lines."""
        return b"".join(self._line(line) for line in _lines(block))

    def _line(self, line: bytes) -> bytes:
        stamp, _, text = line.partition(b" ")
        begins, self._within = not self._within, stamp.endswith(_GOES_ON)
        if self._within:
            text = text.removesuffix(b"\n")
        return stamp.removesuffix(_GOES_ON) + b" " + text if self._timestamps and begins else text


def _lines(block: bytes) -> list[bytes]:
    """Lines with their ends. A carriage return is no end: programs draw with it."""
    *whole, rest = block.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _time(line: bytes) -> datetime:
    return parse_rfc3339(line.partition(b" ")[0].removesuffix(_GOES_ON).decode())
