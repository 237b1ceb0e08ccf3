"""How fast the kill switch is, in front of localkube."""

from __future__ import annotations

import asyncio
import json
import statistics
import time

from tests.bench_gateway.client import Client
from tests.bench_gateway.requests import CLIENTS, Figures
from tests.bench_gateway.rig import before_localkube

WORKER = "/apis/apps/v1/namespaces/shop/deployments/worker"


class Load:
    """Clients that mutate all the time; how often they were let, and whether one was refused."""

    def __init__(self) -> None:
        self.successes = 0
        self.refused = asyncio.Event()

    async def press(self, client: Client, number: int) -> None:
        """Ten mutations a second."""
        body = json.dumps({"metadata": {"labels": {f"c{number}": "x"}}}).encode()
        while True:
            if (await client.ask("PATCH", WORKER, body))[0] == 200:
                self.successes += 1
            else:
                self.refused.set()
            await asyncio.sleep(0.1)


async def switch(quick: bool) -> Figures:
    """Fifty clients that mutate all the time, while the ConfigMap is written fifty times. From sending that
    write to the first refusal: then all that waits is refused, and nothing leaves any more."""
    latencies: list[float] = []
    load = Load()
    async with before_localkube() as (bench, kube), asyncio.TaskGroup() as group:
        pressing = [group.create_task(load.press(c, n)) for n, c in enumerate(bench.clients(CLIENTS))]
        for number in range(5 if quick else 50):
            had = load.successes
            async with asyncio.timeout(60):
                while load.successes < had + CLIENTS:
                    await asyncio.sleep(0.01)
            load.refused.clear()
            data = {"killSwitch": "on", "by": "bench", "reason": f"engagement {number}"}
            begun = time.perf_counter()
            write = kube.patch("configmaps", "automation-control", {"data": data}, "lab-system")
            writing = group.create_task(write)
            await load.refused.wait()
            latencies.append((time.perf_counter() - begun) * 1000)
            await writing
            off = {"data": {"killSwitch": "off"}}
            await kube.patch("configmaps", "automation-control", off, "lab-system")
        for task in pressing:
            task.cancel()
    return {
        "kill switch, median ms": statistics.median(latencies),
        "kill switch, max ms": max(latencies),
    }
