"""The audit log: one JSON record a line, numbered without gaps, on disk before the answer goes out."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from lab.core.audit import AuditRecord, Decision
from lab.core.clock import parse_rfc3339
from lab.errors import LabError, NotReadyError

_BLOCK = 1024 * 1024
_PAGE = 1000
_STRIDE = 64


class AuditLog:
    """Appends and pages records. A line that a crash tore is cut off when the file is opened again.

    `sound` is False after an append that failed: nothing may be mutated until one succeeds.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises NotReadyError when that is not possible."""
        self.path = path
        self.sound = True
        self._offsets = array("Q")
        self._count = self._end = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._recover()
        except OSError as error:
            raise NotReadyError(
                f"the audit log {path} cannot be opened: {error.strerror}",
                hint="the gateway answers nothing that it cannot record; give it a writable volume",
            ) from error

    @property
    def last(self) -> int:
        """The number of the newest record; 0 when there is none."""
        return self._count

    def append(self, **fields: Any) -> AuditRecord:
        """Number and write a record. Raises LabError when it cannot be written; then it has no number."""
        record = AuditRecord(seq=self.last + 1, **fields)
        line = orjson.dumps(record, default=str) + b"\n"  # a record is a dataclass of JSON values
        try:
            written = os.write(self._file, line)
            if written < len(line):
                os.ftruncate(self._file, self._end)
                raise OSError(28, "no space left for a whole record")
        except OSError as error:
            self.sound = False
            raise LabError(f"the audit log cannot be written: {error.strerror}") from error
        self._advance(len(line))
        self.sound = True
        return record

    def read(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Up to `limit` records with numbers above `after`, oldest first, as plain JSON values."""
        first, stop = max(after, 0), min(max(after, 0) + max(limit, 0), self.last)
        if first >= stop:
            return []
        block, beyond = first // _STRIDE, -(-stop // _STRIDE)
        start = self._offsets[block]
        end = self._offsets[beyond] if beyond < len(self._offsets) else self._end
        lines = os.pread(self._file, end - start, start).splitlines()
        skipped = block * _STRIDE
        return [orjson.loads(line) for line in lines[first - skipped : stop - skipped]]

    def intents(self, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        """Like `read`, but only what shadow mode recorded instead of doing."""
        found: list[dict[str, Any]] = []
        while len(found) < limit and (page := self.read(after, 1000)):
            after = page[-1]["seq"]
            found += [record for record in page if record["decision"] == Decision.SHADOWED.value]
        return found[:limit]

    def recent(self, now: datetime, seconds: float) -> Iterator[tuple[float, dict[str, Any]]]:
        """Mutations of the last so many seconds, oldest first, each with its age in seconds."""

        def age(record: dict[str, Any]) -> float:
            return (now - parse_rfc3339(record["time"])).total_seconds()

        first = self.last
        while first > 0 and age(self.read(first - 1, 1)[0]) < seconds:
            first = max(first - _PAGE, 0)
        while page := self.read(first, _PAGE):
            first = page[-1]["seq"]
            for record in page:
                if record["mutating"] and age(record) < seconds:
                    yield age(record), record

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _recover(self) -> None:
        """Find where the records start, up to the last whole one."""
        for line in self._lines():
            if not line.endswith(b"\n"):
                os.ftruncate(self._file, self._end)
                break
            self._advance(len(line))

    def _advance(self, length: int) -> None:
        """One more record of so many bytes. Only every so many are remembered: a log may have millions."""
        if self._count % _STRIDE == 0:
            self._offsets.append(self._end)
        self._count += 1
        self._end += length

    def _lines(self) -> Iterator[bytes]:
        with open(self.path, "rb", buffering=_BLOCK) as file:
            yield from file
