"""What makes the pager's memory last: an append-only file of JSON lines.

One line per change, written before the change is believed: a fact, or an array of facts that are true
together. A line that a crash cut short is left out, and with it the whole change; the file is rewritten,
whole and atomically, when most of it is history that newer lines replace.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from lab.errors import LabError

Record = dict[str, Any]
log = logging.getLogger("lab.pager.journal")


class JournalError(LabError):
    """The journal cannot be written: the disk is full, or the directory is read-only."""


class Journal:
    """One file. Not shared between processes. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: int | None = None
        self.records = 0
        """In the file."""

    def load(self) -> Iterator[Record]:
        """Every whole record, oldest first."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    change = orjson.loads(line)
                except orjson.JSONDecodeError:
                    log.warning("line %d of %s is damaged and left out", number, self._path.name)
                    continue
                for record in change if isinstance(change, list) else [change]:
                    self.records += 1
                    if isinstance(record, dict):
                        yield record

    def append(self, records: Sequence[Record]) -> None:
        """Write records in one piece, or none of them, whenever the process dies. Raises JournalError."""
        if self._path is None or not records:
            return
        data = orjson.dumps(records if len(records) > 1 else records[0]) + b"\n"
        try:
            descriptor = self._open(self._path)
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, data) != len(data):
                os.ftruncate(descriptor, size)
                raise OSError("the disk is full")
        except OSError as error:
            raise JournalError(
                f"the pager cannot write {self._path}: {error.strerror or error}",
                hint="make room on the disk; nothing was changed",
            ) from error
        self.records += len(records)

    def rewrite(self, records: Iterable[Record]) -> None:
        """Replace the whole file. Raises JournalError."""
        if self._path is None:
            return
        temporary = self._path.with_suffix(".new")
        lines = [orjson.dumps(record) + b"\n" for record in records]
        try:
            temporary.write_bytes(b"".join(lines))
            os.replace(temporary, self._path)
        except OSError as error:
            raise JournalError(f"the pager cannot write {self._path}: {error.strerror}") from error
        self.close()
        self.records = len(lines)

    def close(self) -> None:
        """Give the file back; the next append opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self, path: Path) -> int:
        if self._file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._file = os.open(path, flags, 0o600)
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                os.write(self._file, b"\n")  # end the line that a crash cut short
        return self._file
