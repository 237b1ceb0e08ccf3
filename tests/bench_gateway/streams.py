"""What streams through the gateway: watches and their events, large bodies, clients that do not read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator

from tests.bench_gateway.client import Client
from tests.bench_gateway.requests import Figures, percentile
from tests.bench_gateway.rig import Bench, before_a_stub
from tests.bench_gateway.stub import EVERY_SECONDS, WATCHES

PODS = "/api/v1/namespaces/shop/pods"
AT_ONCE = 25
STALLED = 50
MIB = 2**20


class Watch:
    """One open watch: how late its regular events come, and when the last one to all came."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.late: list[float] = []
        self.changed_at = 0.0
        self.first = asyncio.Event()

    async def follow(self) -> None:
        reader = await self.client.open()
        self.client.send("GET", f"{PODS}?watch=true")
        while line := await reader.readline():
            if b'"at"' in line:
                now, event = time.time(), json.loads(line)
                if event["type"] == "MODIFIED":
                    self.changed_at = now
                else:
                    self.late.append((now - event["at"]) * 1000)
                self.first.set()


@contextlib.asynccontextmanager
async def open_watches(clients: list[Client]) -> AsyncIterator[list[Watch]]:
    """Watches that all have had an event. A few at a time: what is measured is not the handshakes."""
    watches = [Watch(client) for client in clients]
    following: list[asyncio.Task[None]] = []
    for start in range(0, len(watches), AT_ONCE):
        batch = watches[start : start + AT_ONCE]
        following += [asyncio.create_task(watch.follow()) for watch in batch]
        await asyncio.gather(*(watch.first.wait() for watch in batch))
    try:
        yield watches
    finally:
        for task, watch in zip(following, watches, strict=True):
            task.cancel()
            watch.client.close()
        await asyncio.gather(*following, return_exceptions=True)


async def watches(quick: bool) -> Figures:
    """Five hundred watches, an event for each every half second, evenly spread; then one for all of them at
    once. Straight first, through the gateway then: what it adds is the difference."""
    seconds, late, spread = 4 if quick else 20, {}, {}
    async with before_a_stub() as bench:
        for direct in (True, False):
            idle = bench.gateway.resident()
            async with open_watches(bench.clients(WATCHES, direct=direct)) as opened:
                weight = bench.gateway.resident() - idle
                for watch in opened:
                    watch.late.clear()
                before = bench.gateway.cpu()
                await asyncio.sleep(seconds)
                used = bench.gateway.cpu() - before
                late[direct] = sorted(each for watch in opened for each in watch.late)
                spread[direct] = await fan_out(bench, opened, 3 if quick else 10)
    low, high = late[True], late[False]
    return {
        "watches": float(WATCHES),
        "watch events through the gateway": float(len(high)),
        "watch events that should have come": WATCHES * seconds / EVERY_SECONDS,
        "watch event late without the gateway, median ms": statistics.median(low),
        "watch event late without the gateway, p99 ms": percentile(low, 99),
        "watch event, added, median ms": statistics.median(high) - statistics.median(low),
        "watch event, added, p99 ms": percentile(high, 99) - percentile(low, 99),
        "watch event, µs of processor time": used / len(high) * 1e6,
        "one event to all watches without the gateway, ms until the last": spread[True],
        "one event to all watches, ms until the last": spread[False],
        "watch, KiB": weight / WATCHES * 1024,
    }


async def fan_out(bench: Bench, opened: list[Watch], times: int) -> float:
    """Median milliseconds from an event until the last watch has it."""
    took: list[float] = []
    for _ in range(times):
        begun = time.time()
        await bench.tell("event")
        async with asyncio.timeout(60):
            while any(watch.changed_at < begun for watch in opened):
                await asyncio.sleep(0.001)
        took.append((max(watch.changed_at for watch in opened) - begun) * 1000)
    return statistics.median(took)


async def bodies(quick: bool) -> Figures:
    """A large log that is read, and endless ones that their clients stop reading: what the gateway holds."""
    size = 32 if quick else 512
    async with before_a_stub() as bench:
        await read_log(bench, 64)
        idle, before = bench.gateway.resident(), bench.gateway.cpu()
        most = await read_log(bench, size)
        used = bench.gateway.cpu() - before
        held = bench.gateway.resident()
        stalled = bench.clients(STALLED)
        for client in stalled:
            reader = await client.open()
            client.send("GET", f"{PODS}/endless/log")
            await reader.readexactly(1)  # from here on nobody reads; the reader has a limit of its own
        sent = await settled(bench)
        figures = {
            f"log of {size} MiB, growth of the gateway, MiB": most - idle,
            "log, MiB a second and core": size / used,
            "stalled client, KiB held by the gateway": (bench.gateway.resident() - held) / STALLED * 1024,
            "stalled client, KiB taken from the API server": sent / STALLED / 1024,
        }
        for client in stalled:
            client.close()
    return figures


async def read_log(bench: Bench, size: int) -> float:
    """Read it all; the most MiB that the gateway weighed meanwhile."""
    client, most, got, looked = bench.clients(1)[0], 0.0, 0, 0
    reader = await client.open()
    client.send("GET", f"{PODS}/{size}-mib/log")
    await reader.readuntil(b"\r\n\r\n")
    while got < size * MIB:
        got += len(await reader.read(MIB))
        if got - looked > MIB:
            most, looked = max(most, bench.gateway.resident()), got
    client.close()
    return most


async def settled(bench: Bench) -> int:
    """Bytes that the API server could send until nothing moved any more for a second."""
    sent, before = int((await bench.tell("sent"))["sent"]), -1
    while sent != before:
        await asyncio.sleep(1)
        before, sent = sent, int((await bench.tell("sent"))["sent"])
    return sent
