"""Measure an API server of Kubernetes, or two in turns, and say which targets are met.

python -m tests.bench_kube [PART ...] [--kubeconfig FILE [--pids N,N]] [--against FILE [--against-pids N,N]]
                           [--rounds N] [--quick] [--json FILE]

Without --kubeconfig it starts a localkube of its own. With --against, each part runs on one server and then
on the other, in turns, and the verdict is about the median of the rounds' ratios. Works in namespaces of its
own, which it removes. Exit status 1 when a target was missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.bench_kube.figures import QUICK, Figures, Size, cpu_probe_ms, medians
from tests.bench_kube.growth import growth
from tests.bench_kube.requests import requests
from tests.bench_kube.target import Target, own_localkube
from tests.bench_kube.verdict import Row, judge
from tests.bench_kube.watching import watch_delivery
from tests.bench_kube.workloads import replicas, running
from tests.bench_kube.writers import write, writers

Part = Callable[[Target, str, Size], Figures]
PARTS: dict[str, Part] = {
    "requests": requests,
    "watch": watch_delivery,
    "writers": writers,
    "growth": growth,
    "replicas": replicas,
    "running": running,
}
START = "start"
"""Beside the parts: fresh starts of localkube, which no other server can be given."""

SETTLE_SECONDS = 15.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m tests.bench_kube", description="Measure a Kubernetes API server."
    )
    made.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join((START, *PARTS))}; all by default"
    )
    made.add_argument(
        "--kubeconfig", type=Path, help="the server to measure; a localkube of its own by default"
    )
    made.add_argument("--pids", default="", help="its processes, to weigh them")
    made.add_argument(
        "--against", type=Path, help="kubeconfig of a second server, measured in turns with the first"
    )
    made.add_argument("--against-pids", default="", help="its processes")
    made.add_argument("--rounds", type=int, default=3, help="how often each part is measured (3)")
    made.add_argument("--quick", action="store_true", help="a small size, only to see that it works")
    made.add_argument("--json", type=Path, help="write all figures of all rounds there")
    return made


def measure(targets: list[Target], parts: list[str], rounds: int, size: Size) -> dict[str, list[Figures]]:
    """The figures of each round, by the server's name. Who is first changes with each round."""
    found: dict[str, list[Figures]] = {target.name: [] for target in targets}
    for number in range(rounds):
        order = targets if number % 2 == 0 else targets[::-1]
        for target in targets:
            found[target.name].append({})
        for part in parts:
            for target in order:
                figures = {f"cpu probe before {part}, ms": cpu_probe_ms()}
                with target.namespace() as namespace:
                    figures |= PARTS[part](target, namespace, size)
                found[target.name][-1] |= figures
                sys.stderr.write(f"round {number + 1} of {rounds}: {part} on {target.name}\n")
    return found


def start_and_weigh(quick: bool) -> Figures:
    """A fresh localkube: seconds until it is ready, and what it weighs when it has settled."""
    with own_localkube() as target:
        time.sleep(2 if quick else SETTLE_SECONDS)  # noqa: TID251 - what is weighed has to settle
        assert target.ready_seconds is not None
        return {"start to ready, s": target.ready_seconds, "memory when idle, MiB": target.weight()}


def ratios(mine: list[Figures], others: list[Figures]) -> Figures:
    """The median over the rounds of each figure as multiples of the other server's in the same round."""
    return medians(
        [{name: a[name] / b[name] for name in a if b.get(name)} for a, b in zip(mine, others, strict=True)]
    )


def show(rows: list[Row]) -> None:
    """A table for people."""
    for row in rows:
        other = f"{row.other:10.2f} {row.ratio or 0:6.2f}x" if row.other is not None else " " * 18
        sys.stdout.write(f"{row.name:62} {row.value:10.2f} {other}  {row.said}\n")


def processes(pids: str) -> list[psutil.Process]:
    """The processes of a comma-separated list."""
    return [psutil.Process(int(pid)) for pid in pids.split(",") if pid]


def main() -> None:
    """Measure what was asked for."""
    if sys.argv[1:2] == ["writer"]:
        write(*sys.argv[2:])
        return
    given = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a localkube of its own ends with it
    if unknown := [part for part in given.parts if part not in (START, *PARTS)]:
        parser().error(f"there is no part {unknown[0]!r}; there are {', '.join((START, *PARTS))}")
    size, wanted = QUICK if given.quick else Size(), given.parts or [START, *PARTS]
    parts = [part for part in wanted if part != START]
    starts = START in wanted and given.kubeconfig is None
    fresh = [start_and_weigh(given.quick) for _ in range(given.rounds if starts else 0)]
    found: dict[str, list[Figures]] = {}
    with contextlib.ExitStack() as stack:
        if given.kubeconfig is None:
            first = stack.enter_context(own_localkube())
        else:
            first = Target("first", given.kubeconfig, processes(given.pids))
        targets = [first]
        if given.against is not None:
            targets.append(Target("other", given.against, processes(given.against_pids)))
        if parts:
            found = measure(targets, parts, given.rounds, size)
        for target in targets:
            if parts and target.processes:
                found[target.name][-1]["memory after the benchmark, MiB"] = target.weight()
    report(found, fresh, first.name, given.json, quick=given.quick)


def report(
    found: dict[str, list[Figures]], fresh: list[Figures], first: str, file: Path | None, *, quick: bool
) -> None:
    """Print the table, write the file, and end with 1 when a target was missed."""
    mine = found.get(first, [])
    others = next((rounds for name, rounds in found.items() if name != first), [])
    compared = ratios(mine, others) if others else {}
    rows = judge(medians(fresh) | medians(mine), medians(others), compared, quick=quick)
    sys.stdout.write(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    show(rows)
    missed = [row.name for row in rows if "MISSED" in row.said]
    if file is not None:
        everything = {"rounds": found, "starts": fresh, "ratios": compared, "missed": missed}
        file.write_text(json.dumps(everything, indent=1) + "\n")
    sys.stdout.write(f"missed: {', '.join(missed) or 'nothing'}\n")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
