"""A file on a worker's disk that only grows, as that of somebody who forgot to turn debugging off."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from lab.core.clock import Clock

log = logging.getLogger("shop.spill")
NAME = "debug.log"
_BLOCK = 256 * 1024
_MOST = 64 * 1024 * 1024
"""A worker's volume may hold 16 MiB; this bounds it where nobody enforces that."""


class Spill:
    """Grows below `folder` from the moment when it is first asked for. None: there is no disk to fill."""

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        self._file = None if folder is None else folder / NAME
        self._clock = clock
        self._since: float | None = None
        self._full = False

    def follow(self, bytes_per_second: float) -> None:
        """Hold what has been spilt by now at that rate; 0 ends it and removes the file.

        A container that was restarted finds the file of the one before it, and treats it as its own.
        """
        if self._file is None:
            return
        now = self._clock.monotonic()
        if bytes_per_second <= 0:
            self._since, self._full = None, False
            self._file.unlink(missing_ok=True)
            return
        if self._since is None:
            self._since = now
        if not self._full:
            self._grow(self._file, min(_MOST, int(bytes_per_second * (now - self._since))))

    def _grow(self, path: Path, size: int) -> None:
        try:
            with path.open("ab", buffering=0) as file:
                missing = size - file.tell()
                if missing >= _BLOCK:
                    file.write(os.urandom(_BLOCK) * (missing // _BLOCK))
        except OSError as error:
            log.warning("the disk takes no more: %s", error)
            self._full = True
