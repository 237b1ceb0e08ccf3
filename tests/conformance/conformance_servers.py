"""A localkube of our own to run cases against."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from address_blocks import free_block

_START = 60.0
_STOP = 60.0
"""Seconds until it is ready and until it has ended, on a loaded machine."""


@contextmanager
def localkube(*options: str) -> Iterator[Path]:
    """A server on a free block; its administrator's kubeconfig. It must end well and log no error."""
    root = Path(tempfile.mkdtemp(prefix="conformance-"))
    process = None
    try:
        for attempt in range(10):
            folder = root / str(attempt)
            process = _start(folder, *options)
            if _is_ready(process, folder):
                break
        else:
            raise AssertionError((folder / "log").read_text())
        yield Path(json.loads((folder / "ready").read_text())["kubeconfig"])
        process.terminate()
        code, log = process.wait(_STOP), (folder / "log").read_text()
        assert code == 0, log
        assert "Traceback" not in log, log
    finally:
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        shutil.rmtree(root)


def _start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "lab.localkube", "--block", str(free_block()), *options),
                *("--data-dir", str(folder / "data"), "--ready-file", str(folder / "ready")),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _is_ready(process: subprocess.Popen[bytes], folder: Path) -> bool:
    """Wait for the ready-file; False when the block was taken after all."""
    deadline, pause = time.monotonic() + _START, threading.Event()
    while not (folder / "ready").exists():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, (folder / "log").read_text()
        pause.wait(0.01)
    return True
