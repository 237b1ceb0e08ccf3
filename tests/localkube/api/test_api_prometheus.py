"""A real Prometheus finds a pod by kubernetes_sd, scrapes it, and forgets it when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from conftest import Served

from lab.core.places import cache_home
from lab.kube.client import KubeClient

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
- job_name: pods
  kubernetes_sd_configs:
  - {{role: pod, kubeconfig_file: {kubeconfig}, namespaces: {{names: [{namespace}]}}}}
  relabel_configs:
  - {{source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], regex: "true", action: keep}}
  - source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port]
    separator: ":"
    target_label: __address__
  - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
  - {{source_labels: [__meta_kubernetes_pod_label_app], target_label: app}}
- job_name: others
  kubernetes_sd_configs:
  - {{role: endpointslice, kubeconfig_file: {kubeconfig}}}
  - {{role: service, kubeconfig_file: {kubeconfig}}}
  - {{role: node, kubeconfig_file: {kubeconfig}}}
"""


def _binary() -> str:
    """Prometheus as the lab finds it; skips the test without one."""
    named = [os.environ.get("LAB_PROMETHEUS"), shutil.which("prometheus")]
    for candidate in (*named, str(cache_home() / "prometheus" / "prometheus")):
        if candidate and os.access(candidate, os.X_OK):
            if b"prometheus/discovery/kubernetes" not in Path(candidate).read_bytes():
                pytest.skip(f"{candidate} is built without kubernetes_sd, as that of Debian 12 is")
            return candidate
    pytest.skip("Prometheus is not installed (LAB_PROMETHEUS, PATH or the lab's cache)")


@contextlib.asynccontextmanager
async def _target(address: str) -> AsyncIterator[int]:
    """Something to scrape on a pod's address; its port."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text="probe_value 42\n")

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application)
    await runner.setup()
    listener = socket.create_server((address, 0))
    await web.SockSite(runner, listener).start()
    try:
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _prometheus(tmp_path: Path, config: str) -> AsyncIterator[str]:
    binary = _binary()
    (tmp_path / "prometheus.yml").write_text(config)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            binary,
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _query(base: str, expression: str) -> list[dict[str, Any]]:
    url = f"{base}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get() -> list[dict[str, Any]]:
        with opener.open(url, timeout=2) as answer:
            return list(json.load(answer)["data"]["result"])

    try:
        return await asyncio.to_thread(get)
    except OSError:
        return []


async def _until(condition: Any, what: str) -> Any:
    try:
        async with asyncio.timeout(15):
            while not (value := await condition()):
                await asyncio.sleep(0.05)
            return value
    except TimeoutError:
        raise AssertionError(what) from None


def _pod(port: int) -> dict[str, Any]:
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)}
    return {
        "metadata": {"name": "p", "labels": {"app": "web"}, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }


async def test_a_pod_is_found_scraped_and_forgotten(
    served: Served, kube: KubeClient, namespace: str, tmp_path: Path
) -> None:
    address = f"127.{served.block}.9.9"
    config = CONFIG.format(kubeconfig=served.kubeconfig, namespace=namespace)
    async with _target(address) as port, _prometheus(tmp_path, config) as base:
        await kube.create("pods", _pod(port), namespace)
        status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
        await kube.patch("pods", "p", status, namespace, subresource="status")
        try:
            found = await _until(lambda: _query(base, "probe_value"), "the pod was never scraped")
            assert found[0]["metric"]["pod"] == "p"
            assert found[0]["metric"]["app"] == "web"
            assert found[0]["value"][1] == "42"
            await kube.delete("pods", "p", namespace, grace_period_seconds=0)

            async def gone() -> bool:
                return not await _query(base, "probe_value")

            await _until(gone, "the pod was never forgotten")
        finally:
            log = (tmp_path / "prometheus.log").read_text()
    assert "level=error" not in log, log
    assert "Failed to watch" not in log, log
