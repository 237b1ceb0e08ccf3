"""What a request costs: time in front of the client, processor time of the gateway, memory over many."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

from tests.bench_gateway.client import Client, Request, hammer
from tests.bench_gateway.rig import before_a_stub

Figures = dict[str, float]
CLIENTS = 50
RATES = (200, 500, 1500)
"""Requests a second of all clients together, from a gateway that sleeps between two to a loaded one."""
POD = "/api/v1/namespaces/shop/pods/worker-1"
READ = Request("GET", POD)
PATCH = Request("PATCH", POD, b'{"metadata":{"labels":{"a":"b"}}}')
MIXED = (
    Request("GET", "/api/v1/namespaces/shop/pods/worker-{n}"),
    Request("PATCH", "/api/v1/namespaces/shop/pods/worker-{n}", PATCH.body),
    Request("GET", "/apis/apps/v1/namespaces/shop/deployments?labelSelector=n%3D{n}"),
    Request("DELETE", "/api/v1/namespaces/shop/pods/worker-{n}"),
    Request("PATCH", "/apis/apps/v1/namespaces/shop/deployments/d-{n}?dryRun=All", PATCH.body),
)


async def latency(quick: bool) -> Figures:
    """Fifty clients, each asking 4, 10 and 30 times a second, straight and through the gateway in turn."""
    seconds = 2.0 if quick else 5.0
    times: dict[tuple[int, bool], list[float]] = {(rate, way): [] for rate in RATES for way in (True, False)}
    async with before_a_stub() as bench:
        straight, through = bench.clients(CLIENTS, direct=True), bench.clients(CLIENTS)
        await hammer(straight, 4 * CLIENTS, READ)  # connections are open, and everything is warm
        await hammer(through, 40 * CLIENTS, READ, PATCH)
        for rate, direct in (*times, *times, *times):
            times[rate, direct] += await paced(straight if direct else through, rate / CLIENTS, seconds)
    figures = {}
    for rate in RATES:
        low, high = (sorted(times[rate, direct]) for direct in (True, False))
        at = f"at {rate} requests a second"
        figures[f"latency without the gateway {at}, median ms"] = statistics.median(low)
        figures[f"latency without the gateway {at}, p99 ms"] = percentile(low, 99)
        figures[f"added latency {at}, median ms"] = statistics.median(high) - statistics.median(low)
        figures[f"added latency {at}, p99 ms"] = percentile(high, 99) - percentile(low, 99)
    return figures


async def paced(clients: list[Client], rate: float, seconds: float) -> list[float]:
    """Milliseconds of each answer, when every client asks `rate` times a second, spread evenly. A client
    that is answered late asks again at once, until it has caught up."""
    loop, spent = asyncio.get_running_loop(), []
    begun = loop.time()

    async def one(client: Client, offset: float) -> None:
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(begun + offset + number / rate - loop.time(), 0))
            asked = time.perf_counter()
            assert (await client.ask("GET", POD))[0] == 200
            spent.append((time.perf_counter() - asked) * 1000)

    await asyncio.gather(*(one(client, turn / len(clients) / rate) for turn, client in enumerate(clients)))
    return spent


async def throughput(quick: bool) -> Figures:
    """Fifty clients in a closed loop; each kind of request in turn, and the median of the rounds. A bare
    answer of aiohttp, asked for without the gateway, tells how quick the machine was just then."""
    rounds, count = (2, 500) if quick else (5, 2000)
    kinds = {
        "bare answers": ("live", READ, 2 * count),
        "reads": ("live", READ, 2 * count),
        "live mutations": ("live", PATCH, count),
        "shadow mutations": ("shadow", PATCH, count),
    }
    costs: dict[str, list[float]] = {name: [] for name in kinds}
    async with before_a_stub() as bench:
        straight, through = bench.clients(CLIENTS, direct=True), bench.clients(CLIENTS)
        for turn in range(rounds + 1):  # the first warms everything up
            for name, (mode, request, number) in kinds.items():
                await bench.tell(f"mode/{mode}")
                direct = name == "bare answers"
                server = bench.behind if direct else bench.gateway
                before = server.cpu()
                await hammer(straight if direct else through, number, request)
                if turn:
                    costs[name].append((server.cpu() - before) / number * 1e6)
    cost = {name: statistics.median(found) for name, found in costs.items()}
    figures = {"bare answers, µs of processor time each": cost.pop("bare answers")}
    bare = figures["bare answers, µs of processor time each"]
    for name, each in cost.items():
        figures[f"{name}, µs of processor time each"] = each
        figures[f"{name}, µs in the best round"] = min(costs[name])
        figures[f"{name} as multiples of a bare answer"] = each / bare
        figures[f"{name} a second and core"] = 1e6 / each
    return figures


async def memory(quick: bool) -> Figures:
    """What twenty thousand mixed requests leave behind."""
    return await _growth(2000 if quick else 20_000, times=5)


async def million(quick: bool) -> Figures:
    """What a million leave behind. Takes a quarter of an hour; says every 100,000 what it weighs."""
    return await _growth(1000 if quick else 100_000, times=10)


async def _growth(count: int, times: int) -> Figures:
    """The first part fills what is bounded: a lab hour of actions, the names of a thousand targets."""
    weights: list[float] = []
    async with before_a_stub(hour_seconds=10) as bench:
        clients = bench.clients(CLIENTS)
        for number in range(1, times + 1):
            await bench.tell(f"mode/{'live' if number % 2 else 'shadow'}")
            await hammer(clients, count, *MIXED)
            weights.append(bench.gateway.resident())
            sys.stdout.write(f"  after {number * count:>9,} requests {weights[-1]:8.1f} MiB\n")
            sys.stdout.flush()
    return {
        f"after {count} requests, MiB": weights[0],
        f"after {count * times} requests, MiB": weights[-1],
        "growth since, MiB": weights[-1] - weights[0],
    }


def percentile(ordered: list[float], percent: int) -> float:
    """Of values in ascending order."""
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]
