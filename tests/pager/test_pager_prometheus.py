"""A real Prometheus with the lab's own configuration and rules: series, alert, incident, resolution."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest
from aiohttp import web
from pager_harness import PagerAt, eventually
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock, TimeScale
from lab.kube.objects import KubeObject
from lab.localkube.images.launch import StartError
from lab.localkube.images.prometheus import find_prometheus
from lab.metrics.catalogue import QUEUE_OLDEST_AGE
from lab.metrics.metric import gauge
from lab.metrics.pod import add_probes
from lab.pager.oncall.clients import HttpPrometheus
from lab.pager.server import pager_app
from lab.slo.discovery import target_group
from lab.slo.rules import prometheus_config, rule_files
from lab.slo.scrape_faults import ScrapeFaults
from lab.slo.scrape_proxy import ScrapeProxy, proxy_beside

SCALE = TimeScale(60.0)
PAGER_IP, PROMETHEUS_IP, EXPORTER_IP = (f"127.3.{os.getpid() % 250}.{last}" for last in (1, 2, 3))


@asynccontextmanager
async def serving_at(app: web.Application, address: str, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
        yield
    finally:
        await runner.cleanup()


def exporter(registry: CollectorRegistry) -> web.Application:
    app = web.Application()
    add_probes(app, ready=None, registry=registry)
    return app


class OnePod:
    """One pod of the shop, as the API server would describe it."""

    synced = True
    pod: ClassVar[KubeObject] = {
        "metadata": {
            "name": "api-1",
            "namespace": "shop",
            "labels": {"app": "api"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        },
        "status": {"podIP": EXPORTER_IP, "phase": "Running"},
    }

    def pod_at(self, address: str) -> KubeObject | None:
        return self.pod if address == EXPORTER_IP else None


def beside_prometheus() -> web.Application:
    """Discovery of the one pod, and the proxy that leads to it."""

    async def targets(_: web.Request) -> web.Response:
        return web.json_response([target_group(OnePod.pod)])

    app = web.Application()
    app.router.add_get("/targets", targets)
    proxy_beside(app, ScrapeProxy(OnePod(), ScrapeFaults(tuple), SystemClock()), host=PROMETHEUS_IP)
    return app


@asynccontextmanager
async def prometheus(folder: Path) -> AsyncIterator[str]:
    try:
        binary = find_prometheus()
    except StartError as error:
        pytest.skip(str(error))
    addresses = {"lab-system/pager": PAGER_IP, "lab-system/prometheus": PROMETHEUS_IP}
    (folder / "prometheus.yml").write_text(prometheus_config(SCALE, addresses=addresses))
    for name, text in rule_files(SCALE).items():
        (folder / name).write_text(text)
    process = await asyncio.create_subprocess_exec(
        str(binary),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={PROMETHEUS_IP}:9090",
        "--rules.alert.resend-delay=5s",
        "--scrape.discovery-reload-interval=1s",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://{PROMETHEUS_IP}:9090"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.slow
async def test_from_series_to_incident_and_back(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    age = gauge(QUEUE_OLDEST_AGE, registry)
    age.labels("3").set(9.5)
    age.labels("4").set(0.1)
    app = pager_app(clock=SystemClock(), scale=SCALE, registry=CollectorRegistry(), data=tmp_path / "pager")
    async with (
        serving_at(app, PAGER_IP, 8080),
        serving_at(exporter(registry), EXPORTER_IP, 8080),
        serving_at(beside_prometheus(), PROMETHEUS_IP, 9091),
        prometheus(tmp_path) as url,
        aiohttp.ClientSession() as session,
    ):
        pager = PagerAt(f"http://{PAGER_IP}:8080", session)
        (incident,) = await eventually(lambda: pager.incidents("open"), 60)
        assert incident["labels"] == {
            "alertname": "OrdersWaitingTooLong",
            "partition": "3",
            "severity": "critical",
        }
        assert "Orders of partition 3 wait too long" in incident["annotations"]["summary"]
        assert "9.5s" in incident["annotations"]["description"]
        assert incident["endsAt"] > incident["openedAt"]
        first_lease = incident["endsAt"]
        (listed,) = await pager.call("GET", "/api/v2/alerts")
        assert listed["generatorURL"].startswith("http")
        assert await _series(url) == {("shop", "api-1", "api")}

        async def renewed() -> bool:
            return bool((await pager.incidents())[0]["endsAt"] > first_lease)

        await eventually(renewed, 60)
        age.labels("3").set(0.2)

        async def resolved() -> list[dict[str, Any]]:
            return await pager.incidents("resolved")

        (done,) = await eventually(resolved, 60)
        assert (done["id"], done["resolvedBy"]) == (incident["id"], "alert")
        age.labels("3").set(7)
        (again,) = await eventually(lambda: pager.incidents("open"), 60)
        assert again["id"] != incident["id"]
        assert again["fingerprint"] == incident["fingerprint"]


async def _series(url: str) -> set[tuple[str, str, str]]:
    client = HttpPrometheus(url)
    try:
        found = await client.query(QUEUE_OLDEST_AGE.name)
    finally:
        await client.close()
    return {(labels["namespace"], labels["pod"], labels["app"]) for labels, _ in found}
