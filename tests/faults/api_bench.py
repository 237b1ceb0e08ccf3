"""A real API server, a gateway over TLS before it, an injector beside it, and two clients."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import any_cluster
import kubernetes.client
import pytest
from aiohttp.web import ServerRunner
from prometheus_client import CollectorRegistry
from shop_pods import until

from lab.core.clock import SystemClock, TimeScale
from lab.core.fault import JournalEntry
from lab.faults.injector import Injector
from lab.faults.journal import ConfigMapStore
from lab.faults.registry import FAULTS
from lab.faults.rows import ROWS, RowMedium
from lab.gateway.app import Gateway, build
from lab.gateway.server import server_context, start_front
from lab.gateway.settings import GatewaySettings
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig, write_kubeconfig
from lab.kube.pki import new_authority

TOKENS = {"automation": "token-of-the-automation", "other": "token-of-the-other"}
WORKER = any_cluster.worker(replicas=1)
BUDGET: dict[str, Any] = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "worker", "namespace": "shop"},
    "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "worker"}}},
}


@dataclass(frozen=True)
class Cluster:
    """An API server with the lab's own rights in it. folder: what a gateway mounts."""

    admin: Path
    gateway: Path
    folder: Path
    authority: bytes


async def furnish(admin: Path) -> str:
    """The namespaces, rights and a worker of the lab; the gateway's own token."""
    async with KubeClient(load_kubeconfig(admin)) as kube:
        await any_cluster.furnish(kube, "gateway.yaml", "automation-rbac.yaml", "faults.yaml")
        control = {"metadata": {"name": "automation-control"}, "data": {"mode": "live", "killSwitch": "off"}}
        await kube.create("configmaps", control, "lab-system")
        await kube.create("deployments", WORKER)
        await kube.create("poddisruptionbudgets", BUDGET)
        return await any_cluster.token(kube, "gateway")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    authority = new_authority("test")
    cert, key = authority.issue("gateway", ip_addresses=["127.0.0.1"])
    (folder / "tls.crt").write_bytes(cert)
    (folder / "tls.key").write_bytes(key)
    (folder / "ca.crt").write_bytes(authority.cert_pem)
    (folder / "clients").mkdir()
    for name, token in TOKENS.items():
        (folder / "clients" / name).write_text(token)
    with any_cluster.cluster(folder) as admin:
        token = asyncio.run(furnish(admin))
        connection = load_kubeconfig(admin)
        own = folder / "gateway.kubeconfig"
        write_kubeconfig(own, connection.server, connection.ca_pem, token)
        yield Cluster(admin, own, folder, authority.cert_pem)


class GatewayThread:
    """A gateway in a thread and an event loop of its own, as it runs beside its clients in a lab."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._settings = GatewaySettings(
            clients=cluster.folder / "clients", audit_file=folder / "audit.jsonl"
        )
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._main(),))
        self.gateway: Gateway
        self.port = 0

    def __enter__(self) -> GatewayThread:
        self._thread.start()
        assert self._ready.wait(20), "the gateway is not ready"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _main(self) -> None:
        connection = load_kubeconfig(self._cluster.gateway)
        clock = SystemClock()
        self.gateway = gateway = build(self._settings, connection, clock)
        runner = await start_front(gateway.front, "127.0.0.1", 0, server_context(self._cluster.folder))
        self.port = runner.addresses[0][1]
        following = asyncio.gather(gateway.follow(clock), gateway.faults.run(connection))
        await gateway.control.read()
        self._ready.set()
        await self._stop.wait()
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        _let_go(runner)
        await runner.cleanup()
        await gateway.close()


@pytest.fixture(scope="module")
def gateway_thread(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayThread]:
    with GatewayThread(cluster, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@dataclass
class Bench:
    """A gateway, and what is around it."""

    cluster: Cluster
    kube: KubeClient
    gateway: Gateway
    injector: Injector
    port: int

    async def begin(self, name: str, lasting: float | None = None, **parameters: Any) -> JournalEntry:
        """Inject a fault and wait until the gateway knows it."""
        [entry] = await self.injector.inject(name, lasting, parameters)

        async def known() -> bool:
            return any(row.id == entry.id for row in self.gateway.faults.board.active())

        await until(known, "the gateway knows the fault")
        return entry

    async def heal(self) -> None:
        """Undo every fault and wait until the gateway knows that."""
        await self.injector.undo(self.injector.journal.open(), "heal")

        async def gone() -> bool:
            return not self.gateway.faults.board.active()

        await until(gone, "the gateway knows that the fault is gone")

    @contextlib.contextmanager
    def client(self, name: str = "automation") -> Iterator[kubernetes.client.ApiClient]:
        """The official client with its defaults."""
        configuration = kubernetes.client.Configuration()
        configuration.host = f"https://127.0.0.1:{self.port}"
        configuration.ssl_ca_cert = str(self.cluster.folder / "ca.crt")
        configuration.api_key = {"authorization": f"Bearer {TOKENS[name]}"}
        with kubernetes.client.ApiClient(configuration) as made:
            yield made
            made.rest_client.pool_manager.clear()

    def hits(self, fault: str) -> float:
        """How many requests and watches the gateway's metrics say the fault has hit."""
        registry = self.gateway.measures.registry
        return registry.get_sample_value("toil_gateway_faults_total", {"fault": fault}) or 0.0

    async def is_hit(self, fault: str, before: float) -> None:
        """Wait until another request or watch is hit."""

        async def more() -> bool:
            return self.hits(fault) > before

        await until(more, f"{fault} hits")

    def record(self, verb: str, client: str = "automation") -> dict[str, Any]:
        """The last audit record of that verb; empty when there is none."""
        found = [r for r in self.gateway.book.read(0, 5000) if (r["verb"], r["actor"]) == (verb, client)]
        return found[-1] if found else {}

    async def replicas(self) -> int:
        """What is really stored."""
        found = await self.kube.get("deployments", "worker", "shop")
        return int(found["spec"]["replicas"])

    async def kubectl(self, binary: str, *arguments: str) -> tuple[int, str]:
        """Exit code and output."""
        home = self.cluster.folder
        kubeconfig = home / f"kubeconfig-{self.port}"
        write_kubeconfig(
            kubeconfig,
            f"https://127.0.0.1:{self.port}",
            self.cluster.authority,
            TOKENS["automation"],
            namespace="shop",
        )
        env = {
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(home),
            "PATH": os.environ["PATH"],
        }
        process = await asyncio.create_subprocess_exec(
            binary, *arguments, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
        return process.returncode or 0, out.decode()


@pytest.fixture
async def bench(cluster: Cluster, gateway_thread: GatewayThread) -> AsyncIterator[Bench]:
    async with KubeClient(load_kubeconfig(cluster.admin)) as kube:
        clock, scale = SystemClock(), TimeScale(60)
        media = {ROWS: RowMedium(kube, FAULTS, seed=7, scale=scale, clock=clock)}
        injector = Injector(
            media, ConfigMapStore(kube), seed=7, scale=scale, clock=clock, registry=CollectorRegistry()
        )
        await injector.start()
        made = Bench(cluster, kube, gateway_thread.gateway, injector, gateway_thread.port)
        yield made
        await made.heal()


def _let_go(runner: ServerRunner) -> None:
    """Break what the clients left open: an error that a test looked at still holds its connection."""
    assert runner.server is not None
    for connection in runner.server.connections:
        if connection.transport is not None:
            connection.transport.abort()


async def call(function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """A blocking call of the client, in a thread of its own: its result, or the exception that it raised."""
    try:
        return await asyncio.to_thread(function, *arguments, **more)
    except Exception as error:
        return error
