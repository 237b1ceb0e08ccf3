"""What a measurement gives, and how figures of several rounds become one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Figures = dict[str, float]


@dataclass(frozen=True)
class Size:
    """How much one round measures."""

    requests: int = 500
    lists: int = 20
    writers: int = 8
    writes: int = 126
    replicas: int = 100
    pods: int = 1000
    config_maps: int = 5000
    singles: int = 20
    together: int = 50
    running: int = 200


QUICK = Size(40, 3, 8, 10, 10, 100, 500, 3, 5, 10)


def times(name: str, seconds: Sequence[float]) -> Figures:
    """Median and 99th percentile in milliseconds; of fewer than a hundred values, the longest."""
    ordered = sorted(value * 1000 for value in seconds)
    last = f"{name}, p99 ms" if len(ordered) >= 100 else f"{name}, max ms"
    return {
        f"{name}, p50 ms": statistics.median(ordered),
        last: ordered[int((len(ordered) - 1) * 0.99 + 0.5)],
    }


def timed(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds that each call took, one after the other."""
    found = []
    for call in calls:
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return found


def cpu_probe_ms() -> float:
    """Milliseconds for a fixed piece of pure Python: how quick the machine is just now."""
    begun = time.perf_counter()
    total = 0
    for number in range(400_000):
        total += number % 7
    return (time.perf_counter() - begun) * 1000


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure over the rounds that have it."""
    names = dict.fromkeys(name for each in rounds for name in each)
    return {name: statistics.median(each[name] for each in rounds if name in each) for name in names}
