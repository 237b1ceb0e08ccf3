"""A real localkube process for tests, on a free block of addresses."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from address_blocks import free_block


@dataclass(frozen=True)
class Served:
    """A running API server."""

    directory: Path
    server: str
    kubeconfig: Path
    process: subprocess.Popen[bytes]
    block: int


def start_server(directory: Path, block: int, *more: str) -> subprocess.Popen[bytes]:
    """Start one; its output goes to `log` in the directory."""
    directory.mkdir(exist_ok=True)
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "lab.localkube", "--block", str(block), *more),
                *("--data-dir", str(directory / "data"), "--ready-file", str(directory / "ready")),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def wait_ready(process: subprocess.Popen[bytes], directory: Path) -> bool:
    """Wait for the ready-file; False when the process ended instead."""
    deadline = time.monotonic() + 60
    pause = threading.Event()
    while not (directory / "ready").exists():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, (directory / "log").read_text()
        pause.wait(0.01)
    return True


@contextmanager
def running(*more: str) -> Iterator[Served]:
    """A server on a free block; it must end well."""
    root = Path(tempfile.mkdtemp(prefix="localkube-api-"))
    for attempt in itertools.count():
        block = free_block()
        directory = root / str(block)
        process = start_server(directory, block, *more)
        if wait_ready(process, directory):
            break
        assert attempt < 10, (directory / "log").read_text()
    ready = json.loads((directory / "ready").read_text())
    try:
        yield Served(directory, ready["server"], Path(ready["kubeconfig"]), process, block)
    finally:
        process.terminate()
        code = process.wait(15)
        log = (directory / "log").read_text()
        shutil.rmtree(root)
    assert code == 0, log
    assert "Traceback" not in log, log
    assert "ERROR" not in log, log
