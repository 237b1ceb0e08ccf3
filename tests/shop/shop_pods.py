"""The shop's real programs as processes, each on a port of its own, and what their metrics say."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from shop_postgres import free_port

PATIENCE = 20.0


async def until(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = PATIENCE) -> Any:
    """The first truthy result of `condition`; fails with `what` when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        result = await condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        await asyncio.sleep(0.05)


@dataclass
class Pod:
    """One process. `name` is its POD_NAME."""

    name: str
    base: str
    process: asyncio.subprocess.Process

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 10)


@dataclass
class Pods:
    """Starts programs, asks them, ends them all."""

    session: aiohttp.ClientSession
    common: dict[str, str]
    running: list[Pod] = field(default_factory=list)

    async def start(self, module: str, name: str, **env: str) -> Pod:
        """Run `python -m module`; returns when it is alive."""
        port = free_port()
        settings = {**self.common, "POD_NAME": name, "PORT": str(port), **env}
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, env=kept | settings, stdout=asyncio.subprocess.DEVNULL
        )
        pod = Pod(name, f"http://127.0.0.1:{port}", process)
        self.running.append(pod)

        async def alive() -> bool:
            assert process.returncode is None, f"{name} ended with {process.returncode}"
            return await self.status(pod, "/healthz") == 200

        await until(alive, f"{name} is alive")
        return pod

    async def status(self, pod: Pod, path: str) -> int:
        """The status of a GET; 0 when nobody answers."""
        try:
            async with self.session.get(pod.base + path) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0

    async def metric(self, pod: Pod, name: str, **labels: str) -> float | None:
        """One sample, or None."""
        async with self.session.get(f"{pod.base}/metrics") as answer:
            text = await answer.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    async def stop(self) -> None:
        """End whatever still runs."""
        for pod in self.running:
            if pod.process.returncode is None:
                pod.process.kill()
                await pod.process.wait()
