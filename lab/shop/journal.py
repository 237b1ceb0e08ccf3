"""What a worker has confirmed, line by line on its own disk: for whoever asks what became of an order.

    2030-01-01T12:00:00.000Z partition=3 orders=17,18,19

It is written before an order is confirmed. Where it cannot be written, nothing is confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lab.core.clock import rfc3339

NAME = "confirmed.log"
LIMIT = 256 * 1024
"""A file that has reached this many bytes becomes `<name>.1`, and the one before it goes."""


class OrderJournal:
    """Below `folder`, which exists. None: there is no disk, and nothing is written."""

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else folder / NAME

    def add(self, now: datetime, partition: int, orders: Sequence[int]) -> None:
        """Note orders that are about to be confirmed. Raises OSError when the disk does not take it."""
        if self._file is None:
            return
        with self._file.open("a") as file:
            file.write(f"{rfc3339(now)} partition={partition} orders={','.join(map(str, orders))}\n")
            full = file.tell() >= LIMIT
        if full:
            self._file.replace(self._file.with_name(f"{NAME}.1"))
