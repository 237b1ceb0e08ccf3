"""Loopback blocks 127.n.0.0/16 for tests: those of this test process, and of no other that runs beside it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from itertools import cycle, islice

API_PORT = 6443
MOST_WORKERS = 4
"""As many test processes at once as `make test` starts at most."""

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % MOST_WORKERS


def own_blocks(first: int, last: int) -> Iterator[int]:
    """This process's numbers from first to last, over and over; from where on is its own as well."""
    mine = [block for block in range(first, last + 1) if block % MOST_WORKERS == _WORKER]
    return islice(cycle(mine), os.getpid() % len(mine), None)


_blocks = own_blocks(100, 249)


def free_block() -> int:
    """The next of this process's blocks on which no cluster listens."""
    for _ in range(100):
        block = next(_blocks)
        with socket.socket() as probe:
            try:
                probe.bind((f"127.{block}.0.1", API_PORT))
            except OSError:
                continue
        return block
    raise AssertionError("every block is taken")
