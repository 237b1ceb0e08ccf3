"""Does a server get slower as it holds more? The first fifth of many creates against the last."""

from __future__ import annotations

import statistics
from functools import partial

from tests.bench_kube.figures import Figures, Size, timed
from tests.bench_kube.manifests import MAKERS
from tests.bench_kube.requests import Thin
from tests.bench_kube.target import Target


def growth(target: Target, namespace: str, size: Size) -> Figures:
    """5,000 ConfigMaps and 1,000 pod objects, one after the other, by the thin client."""
    figures: Figures = {}
    for kind, count in (("configmaps", size.config_maps), ("pods", size.pods)):
        make, fifth = MAKERS[kind], count // 5
        with target.thin() as bare:
            client = Thin(bare, kind, namespace)
            client.create(make("warm"))
            took = timed([partial(client.create, make(f"many-{number}")) for number in range(count)])
        first, last = statistics.median(took[:fifth]), statistics.median(took[-fifth:])
        figures[f"{count} {kind}, the last fifth as multiples of the first"] = last / first
    return figures
