"""The replay of many labs' load works on a server, and takes away what it made."""

from __future__ import annotations

import asyncio

import pytest
from localkube_process import running

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.objects import name_of
from tests.bench_scale.__main__ import measure

pytestmark = pytest.mark.slow


def test_two_labs_for_a_moment() -> None:
    with running("--api-only") as served:
        figures = asyncio.run(measure(served.kubeconfig, 2, 2.0))
        assert figures["failures"] == 0
        assert figures["requests per second"] > 0
        assert figures["events to watches per second"] > 0
        assert {"reads, p50 ms", "writes, p50 ms"} <= figures.keys()
        assert asyncio.run(_namespaces(served.kubeconfig)).isdisjoint({"bench-scale-0", "bench-scale-1"})


async def _namespaces(kubeconfig: object) -> set[str]:
    async with KubeClient(load_kubeconfig(str(kubeconfig))) as kube:
        return {name_of(found) for found in (await kube.list("namespaces"))["items"]}
