"""Measure the gateway, and say which targets it meets.

python -m tests.bench_gateway [PART ...] [--quick]

Gateway and API server are processes of their own. Rates a second and core are requests divided by the
gateway's own processor time, so that a busy machine counts less against it; latencies want a quiet one.
Exit status 1 when a target was missed. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from tests.bench_gateway.requests import RATES, Figures, latency, memory, million, throughput
from tests.bench_gateway.streams import bodies, watches
from tests.bench_gateway.stub import serve
from tests.bench_gateway.switch import switch

Measure = Callable[[bool], Coroutine[Any, Any, Figures]]
DEFAULT: dict[str, Measure] = {
    "latency": latency,
    "throughput": throughput,
    "watches": watches,
    "bodies": bodies,
    "memory": memory,
    "switch": switch,
}
PARTS = DEFAULT | {"million": million}

AT_MOST = {
    **{f"added latency at {rate} requests a second, median ms": 1.0 for rate in RATES},
    **{f"added latency at {rate} requests a second, p99 ms": 5.0 for rate in RATES},
    "watch event, added, median ms": 1.0,
    "growth since, MiB": 4.0,
    "log of 512 MiB, growth of the gateway, MiB": 4.0,
    "stalled client, KiB held by the gateway": 4096.0,
    "kill switch, max ms": 200.0,
}
AT_LEAST = {
    "reads a second and core": 1500.0,
    "live mutations a second and core": 1500.0,
    "shadow mutations a second and core": 1500.0,
    "watch events through the gateway": 19_500.0,  # of 20,000: the clock stops between two events
}


def verdict(name: str, value: float, *, quick: bool) -> str:
    """How a figure stands to its target; empty when there is none, or too little was measured."""
    if quick or name not in AT_MOST | AT_LEAST:
        return ""
    limit = AT_MOST.get(name, AT_LEAST.get(name, 0.0))
    word = "at most" if name in AT_MOST else "at least"
    met = value <= limit if name in AT_MOST else value >= limit
    return f"{'met' if met else 'MISSED'}: {word} {limit:g}"


def main() -> None:
    """Run the parts that are named, or all but the million."""
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    quick = "--quick" in sys.argv
    if words[:1] == ["stub"]:
        uvloop.run(serve(int(words[1]), Path(words[2])))
    if unknown := [word for word in words if word not in PARTS]:
        raise SystemExit(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    sys.stdout.write(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    figures: Figures = {}
    missed = []
    for part in words or DEFAULT:
        found = uvloop.run(PARTS[part](quick))
        for name, value in found.items():
            said = verdict(name, value, quick=quick)
            missed += [name] if said.startswith("MISSED") else []
            sys.stdout.write(f"{name:64} {value:10.2f}  {said}\n")
            sys.stdout.flush()
        figures |= found
    sys.stdout.write(json.dumps({"figures": figures, "missed": missed}) + "\n")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
