"""A real Prometheus that scrapes one pod through the lab's proxy, and rows for faults that bite there."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import yaml
from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock, TimeScale
from lab.core.fault_row import FaultRow
from lab.faults.board import Board
from lab.faults.registry import FAULTS, SPECS
from lab.faults.rows import RowFault
from lab.kube.objects import KubeObject
from lab.localkube.images.launch import StartError
from lab.localkube.images.prometheus import find_prometheus
from lab.metrics.pod import add_probes
from lab.slo.discovery import target_group
from lab.slo.prometheus import prometheus_config
from lab.slo.scrape_faults import ScrapeFaults
from lab.slo.scrape_proxy import ScrapeProxy, proxy_beside

SCALE = TimeScale(60.0)
BESIDE_IP, POD_IP = (f"127.4.{os.getpid() % 250}.{last}" for last in (2, 3))
CLOCK = SystemClock()


def row(
    fault: str,
    *,
    seconds: float | None = None,
    identity: str = "",
    seed: int = 7,
    scale: TimeScale = SCALE,
    **values: Any,
) -> FaultRow:
    """The row that the injector would write. seconds: its lease, from now."""
    made = cast(RowFault, FAULTS[fault])
    expires = None if seconds is None else CLOCK.now() + timedelta(seconds=seconds)
    parameters = made.row(SPECS[fault].read(values), scale)
    return FaultRow(identity or f"{fault}-0001", fault, made.part, parameters, expires, seed)


def put(board: Board, *rows: FaultRow) -> None:
    """Make these the rows that there are."""
    board.put({one.id: one.as_json() for one in rows})


class OnePod:
    """All pods there are: one of the shop's api."""

    synced = True

    def __init__(self, app: str = "api", name: str = "api-1") -> None:
        self.pod: KubeObject = {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "labels": {"app": app},
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            },
            "status": {"podIP": POD_IP, "phase": "Running"},
        }

    def pod_at(self, address: str) -> KubeObject | None:
        return self.pod if address == POD_IP else None


@asynccontextmanager
async def exporter(registry: CollectorRegistry) -> AsyncIterator[str]:
    """The pod's metrics; its address."""
    app = web.Application()
    add_probes(app, ready=None, registry=registry)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, POD_IP, 8080).start()
        yield f"http://{POD_IP}:8080/metrics"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def scrape_proxy(board: Board, pods: OnePod | None = None) -> AsyncIterator[str]:
    """The proxy; its address."""
    app = web.Application()
    proxy_beside(app, ScrapeProxy(pods or OnePod(), ScrapeFaults(board.active), CLOCK), host=BESIDE_IP)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        yield f"http://{BESIDE_IP}:9092"
    finally:
        await runner.cleanup()


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """A Prometheus with the lab's configuration, but quicker, and with the pod written into it."""
    try:
        binary = find_prometheus()
    except StartError as error:
        pytest.skip(str(error))
    config = yaml.safe_load(prometheus_config(SCALE, addresses={"lab-system/prometheus": BESIDE_IP}))
    config["global"] |= {"scrape_interval": "200ms", "scrape_timeout": "200ms"}
    (job,) = config["scrape_configs"]
    del job["http_sd_configs"], config["rule_files"]
    job["static_configs"] = [target_group(OnePod().pod)]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [
            str(binary),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={BESIDE_IP}:9090",
            "--scrape.discovery-reload-interval=100ms",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://{BESIDE_IP}:9090"
    finally:
        process.terminate()
        process.wait()


class Query:
    """Instant queries of Prometheus."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def __call__(self, text: str) -> float | None:
        """The one value of an expression; None when it has none, or Prometheus is not up yet."""
        try:
            async with self._session.get(f"{self._url}/api/v1/query", params={"query": text}) as answer:
                if answer.status != 200:
                    return None
                result = (await answer.json())["data"]["result"]
        except aiohttp.ClientError:
            return None
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    async def until(self, text: str, seconds: float = 20.0) -> float:
        """The value of an expression, as soon as it has one."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (value := await self(text)) is None:
            assert asyncio.get_running_loop().time() < deadline, f"not in {seconds} s: {text}"
            await asyncio.sleep(0.05)
        return value
