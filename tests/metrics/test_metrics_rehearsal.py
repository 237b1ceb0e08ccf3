"""The rehearsal before pods are forked leaves nothing behind: no thread, no file, no current event loop."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import asyncio, os, sys, tempfile, threading
from lab.metrics.rehearsal import rehearse

def files():
    return sorted(os.listdir("/proc/self/fd")) if sys.platform == "linux" else []

before = files()
rehearse()
assert files() == before, files()
assert threading.active_count() == 1
assert os.listdir(tempfile.gettempdir()) == []
loop = asyncio.get_event_loop()  # as in a fresh process: the first one that asks is given one
assert not loop.is_closed()
loop.close()
print("nothing is left")
"""


def test_nothing_is_left_of_it(tmp_path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env={"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout == "nothing is left\n", run.stderr
