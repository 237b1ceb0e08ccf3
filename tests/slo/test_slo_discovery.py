"""Discovery against the real embedded API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from lab.core.clock import SystemClock
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.providers.local import LocalProvider
from lab.slo.discovery import PodTargets, discovery_app, target_group


def pod(name: str, address: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"app": "worker", "app.kubernetes.io/part-of": "toil-lab"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        },
        "spec": {"nodeName": "nowhere", "containers": [{"name": "c", "image": "toil-lab"}]},
    }
    if address:
        made["status"] = {"podIP": address, "phase": "Running"}
    return made


def test_a_pod_becomes_a_target_with_the_labels_of_kubernetes_sd() -> None:
    group = target_group(pod("worker-1", "127.9.1.2"))
    assert group["targets"] == ["127.9.1.2"]
    labels = group["labels"]
    assert labels["__meta_kubernetes_pod_name"] == "worker-1"
    assert labels["__meta_kubernetes_namespace"] == "default"
    assert labels["__meta_kubernetes_pod_phase"] == "Running"
    assert labels["__meta_kubernetes_pod_label_app"] == "worker"
    assert labels["__meta_kubernetes_pod_label_app_kubernetes_io_part_of"] == "toil-lab"
    assert labels["__meta_kubernetes_pod_annotation_prometheus_io_scrape"] == "true"


@pytest.fixture
async def kube(tmp_path: Path) -> AsyncIterator[KubeClient]:
    provider = LocalProvider()
    cluster = await asyncio.to_thread(provider.create, tmp_path)
    try:
        async with KubeClient(load_kubeconfig(cluster.kubeconfig)) as client:
            yield client
    finally:
        await asyncio.to_thread(provider.delete, tmp_path)


async def test_targets_follow_the_cluster(kube: KubeClient) -> None:
    targets = PodTargets(kube, SystemClock(), ("default",))
    runner = web.AppRunner(discovery_app(targets))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/targets"

        async def names() -> list[str] | None:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                if answer.status != 200:
                    return None
                groups = await answer.json()
                return [group["labels"]["__meta_kubernetes_pod_name"] for group in groups]

        async def until(expected: list[str]) -> None:
            deadline = asyncio.get_running_loop().time() + 10
            while (seen := await names()) != expected:
                assert asyncio.get_running_loop().time() < deadline, f"{seen}, not {expected}"
                await asyncio.sleep(0.05)

        await until([])
        await kube.create("pods", pod("worker-1"), "default")
        status = {"status": {"podIP": "127.9.1.2", "phase": "Running"}}
        await kube.patch("pods", "worker-1", status, "default", subresource="status")
        await until(["worker-1"])
        await kube.delete("pods", "worker-1", "default", grace_period_seconds=0)
        await until([])
    finally:
        await runner.cleanup()
