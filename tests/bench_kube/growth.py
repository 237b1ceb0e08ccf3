"""Does a server get slower as it holds more? The first fifth of many creates against the last.

By the server's processor time where that is known well enough, as it holds on a busy machine, too.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.bench_kube.figures import Figures, Size, timed
from tests.bench_kube.manifests import MAKERS
from tests.bench_kube.requests import Thin
from tests.bench_kube.target import Target

LEAST_SECONDS = 0.1
"""Of processor time, which is counted in hundredths."""


def growth(target: Target, namespace: str, size: Size) -> Figures:
    """5,000 ConfigMaps and 1,000 pod objects, one after the other, by the thin client."""
    figures: Figures = {}
    for kind, count in (("configmaps", size.config_maps), ("pods", size.pods)):
        make, fifth = MAKERS[kind], count // 5
        with target.thin() as bare:
            client = Thin(bare, kind, namespace)
            client.create(make("warm"))
            first, _, last = (
                _cost(target, [partial(client.create, make(f"many-{number}")) for number in numbers])
                for numbers in (range(fifth), range(fifth, count - fifth), range(count - fifth, count))
            )
        exact = min(first.cpu, last.cpu) >= LEAST_SECONDS
        slope = last.cpu / first.cpu if exact else last.latency / first.latency
        figures[f"{count} {kind}, the last fifth as multiples of the first"] = slope
    return figures


@dataclass(frozen=True)
class Cost:
    """Processor seconds of the server, and the median latency in seconds."""

    cpu: float
    latency: float


def _cost(target: Target, calls: Sequence[Callable[[], object]]) -> Cost:
    before = target.cpu()
    took = timed(calls)
    return Cost(target.cpu() - before, statistics.median(took))
