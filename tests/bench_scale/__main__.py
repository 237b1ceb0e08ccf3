"""Replay the load of many labs on an API server, and measure it and its answers.

python -m tests.bench_scale --kubeconfig FILE [--labs 1,10,50] [--seconds 30] [--json FILE]

Works in namespaces `bench-scale-N`, which it removes. Without --kubeconfig it has a localkube of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.objects import name_of
from lab.kube.status import StatusError
from tests.bench_kube.target import own_localkube
from tests.bench_scale.load import BUSY, LABEL, Replay, Seen

Figures = dict[str, float]
WRITES = ("patch", "status", "event", "lease")
GONE_SECONDS = 300.0
OPEN_SECONDS = 300.0


async def measure(kubeconfig: Path, labs: int, seconds: float) -> Figures:
    """So many labs at once, for that long."""
    seen = Seen()
    async with contextlib.AsyncExitStack() as stack:
        connection = load_kubeconfig(kubeconfig)
        admin = await stack.enter_async_context(KubeClient(connection))
        clients = [await stack.enter_async_context(KubeClient(connection)) for _ in range(labs)]
        replays = [Replay(client, number, seen) for number, client in enumerate(clients)]
        try:
            for start in range(0, labs, 10):
                await asyncio.gather(*(replay.furnish() for replay in replays[start : start + 10]))
            async with asyncio.timeout(OPEN_SECONDS):
                await asyncio.gather(*(replay.open() for replay in replays))
            seen.events, seen.failures = 0, []
            cpu, begun, own = await _server(admin), time.monotonic(), time.process_time()
            await asyncio.gather(*(replay.run(seconds) for replay in replays))
            took, own = time.monotonic() - begun, time.process_time() - own
            after = await _server(admin)
        finally:
            await asyncio.gather(*(replay.close() for replay in replays))
            await remove(admin)
    sent = sum(map(len, seen.seconds.values()))
    figures = {
        "requests per second": sent / took,
        "of those meant, %": 100 * sent / (sum(kind.per_second for kind in BUSY) * labs * seconds),
        "events to watches per second": seen.events / took,
        "failures": float(len(seen.failures)),
        "CPU of this program, %": 100 * own / took,
    }
    for name, kinds in (("reads", ("get", "list")), ("writes", WRITES)):
        ordered = sorted(1000 * s for kind in kinds for s in seen.seconds.get(kind, ()))
        for percent in (50, 99):
            figures[f"{name}, p{percent} ms"] = (
                ordered[(len(ordered) - 1) * percent // 100] if ordered else 0.0
            )
    if "process_cpu_seconds_total" in after:
        spent = after["process_cpu_seconds_total"] - cpu["process_cpu_seconds_total"]
        figures["CPU of the server, %"] = 100 * spent / took
        figures["memory of the server, MiB"] = after["process_resident_memory_bytes"] / 2**20
    for failure in seen.failures[:3]:
        print(f"  {failure}")
    return figures


async def remove(kube: KubeClient) -> None:
    """Take away what this program made, and wait until it is gone."""
    async with asyncio.timeout(GONE_SECONDS):
        while left := (await kube.list("namespaces", label_selector=f"{LABEL}=yes"))["items"]:
            for namespace in left:
                with contextlib.suppress(StatusError):  # it goes already
                    for kind in ("pods", "configmaps", "leases", "events"):
                        path = f"/api/v1/namespaces/{name_of(namespace)}/{kind}"
                        if kind != "leases":
                            await kube.request("DELETE", path, query={"gracePeriodSeconds": 0})
                    await kube.delete("namespaces", name_of(namespace))
            await _finalize(kube)
            await asyncio.sleep(0.5)


async def _finalize(kube: KubeClient) -> None:
    """Where no controller runs, a namespace waits for somebody to say that it is empty."""
    for namespace in (await kube.list("namespaces", label_selector=f"{LABEL}=yes"))["items"]:
        if "deletionTimestamp" not in namespace["metadata"]:
            continue
        with contextlib.suppress(StatusError):
            lease = f"/apis/coordination.k8s.io/v1/namespaces/{name_of(namespace)}/leases"
            await kube.request("DELETE", lease)
            path = f"/api/v1/namespaces/{name_of(namespace)}/finalize"
            await kube.request("PUT", path, body=namespace | {"spec": {"finalizers": []}})


async def _server(kube: KubeClient) -> Figures:
    """What the server says of itself; nothing where it does not."""
    try:
        text = await kube.request("GET", "/metrics")
    except StatusError:
        return {}
    found = re.findall(r"^(process_\w+) ([0-9.e+]+)$", str(text), re.MULTILINE)
    return {name: float(value) for name, value in found}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_scale", description="The load of many labs.")
    parser.add_argument("--kubeconfig", type=Path, help="the server; a localkube of its own by default")
    parser.add_argument("--labs", default="1,10,50", help="how many at once, one round each")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long a round lasts")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args(arguments)
    counts = [int(count) for count in given.labs.split(",")]
    with contextlib.ExitStack() as stack:
        kubeconfig = given.kubeconfig or stack.enter_context(own_localkube()).kubeconfig
        rounds = {count: asyncio.run(measure(kubeconfig, count, given.seconds)) for count in counts}
    print(f"{'':36}" + "".join(f"{count:>10}" for count in counts) + "  labs")
    for name in rounds[counts[-1]]:
        print(f"{name:36}" + "".join(f"{rounds[count].get(name, 0):10.1f}" for count in counts))
    if given.json:
        given.json.write_text(json.dumps(rounds, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
