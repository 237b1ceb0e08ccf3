"""Death by SIGKILL while a fault of the Kubernetes API is applied and undone: nothing is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_bench import TOKENS, Cluster, cluster
from prometheus_client import CollectorRegistry
from shop_pods import until

from lab.core.clock import SystemClock, TimeScale
from lab.faults.injector import Injector
from lab.faults.journal import ConfigMapStore
from lab.faults.registry import FAULTS
from lab.faults.rows import ROWS, RowMedium
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

__all__ = ["cluster"]
pytestmark = pytest.mark.safety
WRITES = 5
"""Plan, row, active; row away, undone."""


async def test_an_injector_that_is_killed_at_any_write_is_made_good(cluster: Cluster) -> None:
    script = Path(__file__).with_name("crash_injector.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(cluster.admin), str(WRITES), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    runs = [json.loads(line) for line in out.splitlines()]
    assert [run["died"] for run in runs] == [True] * WRITES + [False]
    assert [(run["after"]["state"], len(run["after"]["rows"])) for run in runs] == [
        ("", 0),
        ("planned", 0),
        ("planned", 1),
        ("active", 1),
        ("active", 0),
        ("undone", 0),
    ]
    assert [(run["successor"]["state"], len(run["successor"]["rows"])) for run in runs] == [
        ("", 0),
        ("failed", 0),
        ("failed", 0),
        ("active", 1),
        ("active", 1),
        ("undone", 0),
    ], "a plan never happened; what was active bites on until it is healed"
    assert all(run["healed"]["rows"] == [] for run in runs)
    assert [run["healed"]["undoneBy"] for run in runs] == ["", "", "", "heal", "heal", "heal"]


class GatewayProcess:
    """`python -m lab.gateway`, killed and started again on the same address and audit log."""

    def __init__(self, cluster: Cluster, folder: Path, ports: tuple[int, int]) -> None:
        self._port, self._admin_port = ports
        self.audit = folder / "audit.jsonl"
        self.url = f"https://127.0.0.1:{self._port}"
        self._env = os.environ | {
            "KUBECONFIG": str(cluster.gateway),
            "GATEWAY_TLS_DIR": str(cluster.folder),
            "GATEWAY_CLIENTS_DIR": str(cluster.folder / "clients"),
            "GATEWAY_AUDIT_FILE": str(self.audit),
            "GATEWAY_LISTEN_PORT": str(self._port),
            "GATEWAY_ADMIN_PORT": str(self._admin_port),
            "LAB_ADMIN_TOKEN": "admin",
            "POD_IP": "127.0.0.1",
        }

    @asynccontextmanager
    async def running(self, session: aiohttp.ClientSession) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lab.gateway", env=self._env, stdout=asyncio.subprocess.DEVNULL
        )

        async def ready() -> bool:
            assert process.returncode is None
            try:
                async with session.get(f"http://127.0.0.1:{self._admin_port}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        try:
            await until(ready, "the gateway is ready")
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            await process.wait()

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_bytes().splitlines()]


def free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


async def patch(session: aiohttp.ClientSession, gateway: GatewayProcess, replicas: int) -> int:
    """Scale the worker; the status code, 0 without an answer."""
    path = "/apis/apps/v1/namespaces/shop/deployments/worker/scale"
    headers = {"Content-Type": "application/merge-patch+json", "Authorization": f"Bearer {TOKENS['other']}"}
    body = json.dumps({"spec": {"replicas": replicas}})
    try:
        async with session.patch(gateway.url + path, headers=headers, data=body) as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


async def half(session: aiohttp.ClientSession, gateway: GatewayProcess) -> tuple[int, int]:
    """Bytes that arrived of an answer, and those announced, if any: a streamed list announces none."""
    headers = {"Authorization": f"Bearer {TOKENS['other']}"}
    arrived = bytearray()
    url = f"{gateway.url}/apis/apps/v1/namespaces/shop/deployments"
    async with session.get(url, headers=headers) as answer:
        try:
            async for chunk in answer.content.iter_any():
                arrived += chunk
        except aiohttp.ClientError:
            return len(arrived), int(answer.headers.get("Content-Length", len(arrived) + 1))
    return len(arrived), len(arrived)


@pytest.mark.slow
async def test_a_gateway_that_is_killed_under_a_fault_keeps_the_truth(
    cluster: Cluster, tmp_path: Path
) -> None:
    gateway = GatewayProcess(cluster, tmp_path, free_ports())
    context = ssl.create_default_context(cafile=str(cluster.folder / "ca.crt"))
    async with (
        KubeClient(load_kubeconfig(cluster.admin)) as kube,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, force_close=True)) as session,
    ):
        clock, scale = SystemClock(), TimeScale(60)
        media = {ROWS: RowMedium(kube, FAULTS, seed=1, scale=scale, clock=clock)}
        injector = Injector(
            media, ConfigMapStore(kube), seed=1, scale=scale, clock=clock, registry=CollectorRegistry()
        )
        await injector.start()

        async def lost() -> bool:
            return await patch(session, gateway, 1) == 0

        async def answered() -> bool:
            return await patch(session, gateway, 1) == 200

        async def broken() -> bool:
            arrived, announced = await half(session, gateway)
            return 0 < arrived < announced

        async with gateway.running(session):
            assert await answered()
            await injector.inject("api-reset", None, {})
            await until(broken, "half of an answer arrives")
            await injector.undo(injector.journal.open(), "heal")
            await injector.inject("api-lost-response", None, {"ending": "reset"})
            await until(lost, "answers are lost")
            await injector.undo(injector.journal.open(), "heal")
            await until(answered, "answers come")
            await injector.inject("api-lost-response", 600, {"ending": "silence"})

            async def held() -> bool:
                held_back.append(asyncio.create_task(patch(session, gateway, 2)))
                await asyncio.wait({held_back[-1]}, timeout=0.3)
                return not held_back[-1].done()

            held_back: list[asyncio.Task[int]] = []
            await until(held, "an answer is held back")
        assert [await task for task in held_back][-1] == 0
        [*_, last] = gateway.records()
        assert (last["code"], last["decision"], last["fault"]) == (200, "allowed", "api-lost-response")
        found = await kube.get("deployments", "worker", "shop")
        assert found["spec"]["replicas"] == 2, "it was carried out, and the record says so"
        async with gateway.running(session):
            await until(held, "the fault goes on after the gateway's death")
        await injector.undo(injector.journal.open(), "heal")
        async with gateway.running(session):
            await until(answered, "healed while the gateway was dead")
        await injector.inject("api-errors", 0.1)
        async with gateway.running(session):
            await until(answered, "the lease ended while gateway and injector were dead")
