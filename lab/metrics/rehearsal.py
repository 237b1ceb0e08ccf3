"""What a pod's server does all day, done a few times where all pods are forked from.

Python fits its code to what it runs, in place. Done before the fork, that memory stays shared: a megabyte for
each pod.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, Histogram

from lab.metrics.pod import add_probes

_TIMES = 10
"""Python specialises a function within eight calls."""


def rehearse() -> None:
    """Serve and ask a pod's paths, on a socket of our own, and leave nothing behind."""
    loop = asyncio.new_event_loop()  # not asyncio.run: the main thread's current loop stays as it was
    try:
        with tempfile.TemporaryDirectory(prefix="lab-rehearsal-") as folder:
            loop.run_until_complete(_serve_and_ask(str(Path(folder) / "socket")))
    finally:
        loop.close()


async def _serve_and_ask(path: str) -> None:
    registry = CollectorRegistry()
    histogram = Histogram("rehearsal_seconds", "Nothing that is measured.", ["kind"], registry=registry)
    app = web.Application()
    add_probes(app, ready=lambda: True, registry=registry)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, path).start()
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(path)) as session:
            for turn in range(_TIMES):
                histogram.labels("rehearsed").observe(turn)
                for asked in ("/healthz", "/readyz", "/metrics"):
                    async with session.get(f"http://pod{asked}") as answer:
                        await answer.read()
    finally:
        await runner.cleanup()
