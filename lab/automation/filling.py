"""Fills the pod's scratch volume with a file, up to more than its limit: the kubelet then evicts the pod."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from io import FileIO
from pathlib import Path

from lab.core.clock import Clock

_BLOCK = 1024 * 1024
_BLOCKS_A_STEP = 4
_STEP_SECONDS = 0.1
MOST_BYTES = 160 * _BLOCK
"""Above the volume's `sizeLimit` of 128 MiB; a bound where nobody enforces one."""


class Filler:
    """One file below `folder`. What a runner before this one left there is removed at once."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._file = folder / ".spill"
        self._clock = clock
        self._filling: asyncio.Task[None] | None = None
        self._remove()

    def begin(self) -> None:
        """Write at some 40 MiB a second. Filling already, it goes on."""
        if self._filling is None:
            self._filling = asyncio.create_task(self._fill(self._file.open("wb", buffering=0)))

    def end(self) -> None:
        """Write no more, and give the space back."""
        if self._filling is not None:
            self._filling.cancel()
            self._filling = None
        self._remove()

    def _remove(self) -> None:
        self._file.unlink(missing_ok=True)

    async def _fill(self, file: FileIO) -> None:
        block = os.urandom(_BLOCK)  # a file system that compresses finds nothing to save
        with suppress(OSError), file:  # a write that fails has found the disk full
            while file.tell() < MOST_BYTES:
                for _ in range(_BLOCKS_A_STEP):
                    file.write(block)
                await self._clock.sleep(_STEP_SECONDS)
