"""Ends of pipes: a descriptor is closed once, whichever event loop closes it."""

from __future__ import annotations

import subprocess
import sys

import pytest

BESIDE_THREADS = """
import asyncio, os, sys, threading
from lab.localkube.kubelet.pipes import OutputPipe

lost, done = [], threading.Event()

def churn():
    while not done.is_set():
        descriptor = os.open(os.devnull, os.O_RDONLY)
        try:
            os.fstat(descriptor)
            os.close(descriptor)
        except OSError as error:
            lost.append(error)

async def main():
    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(1000):
            pipe = OutputPipe(lambda data: None)
            await pipe.open()
            await pipe.drained(1)
    finally:
        done.set()
        for thread in threads:
            thread.join()

if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
print(len(lost))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_closing_pipes_closes_no_file_of_another_thread(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    run = subprocess.run(
        [sys.executable, "-c", BESIDE_THREADS, loop], capture_output=True, text=True, timeout=120
    )
    assert (run.returncode, run.stdout) == (0, "0\n"), run.stderr
