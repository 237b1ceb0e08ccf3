"""The gateway as a process of its own, with a certificate, one client, and an API server behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from lab.core.places import data_root
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, load_kubeconfig, write_kubeconfig
from lab.kube.pki import new_authority
from tests.bench_gateway.client import TOKEN, Client

START_SECONDS = 60


@dataclass
class Part:
    """A server under load: where it listens, and its process."""

    port: int
    process: psutil.Process

    def cpu(self) -> float:
        """Processor seconds used so far."""
        times = self.process.cpu_times()
        return times.user + times.system

    def resident(self) -> float:
        """MiB in memory."""
        return float(self.process.memory_info().rss / 2**20)


@dataclass
class Bench:
    """A running gateway and the API server behind it."""

    gateway: Part
    behind: Part
    context: ssl.SSLContext

    def clients(self, count: int, *, direct: bool = False) -> list[Client]:
        """Clients of the gateway, or straight of what is behind it."""
        port = (self.behind if direct else self.gateway).port
        return [Client(port, self.context) for _ in range(count)]

    async def tell(self, command: str) -> dict[str, Any]:
        """Have the small API server do something."""
        client = self.clients(1, direct=True)[0]
        _, said = await client.ask("POST", f"/bench/{command}")
        client.close()
        return dict(json.loads(said))


@contextlib.asynccontextmanager
async def before_a_stub(hour_seconds: float = 60) -> AsyncIterator[Bench]:
    """A gateway in front of tests.bench_gateway.stub. hour_seconds: of a lab hour, for which it counts."""
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name:
        folder, port = Path(name), _free_port()
        ca = _certificate(folder)
        argv = ("-m", "tests.bench_gateway", "stub", str(port), name)
        async with _running(*argv) as process:
            await _answers(port)
            connection = Connection(f"https://127.0.0.1:{port}", ca_pem=ca, token="of-the-gateway")
            env = {"LAB_HOUR_SECONDS": str(hour_seconds)}
            async with _gateway(folder, connection, ca, Part(port, process), env) as bench:
                yield bench


@contextlib.asynccontextmanager
async def before_localkube() -> AsyncIterator[tuple[Bench, KubeClient]]:
    """A gateway in front of localkube, with its own ServiceAccount and rights, in live mode."""
    with tempfile.TemporaryDirectory(prefix="lab-bench-") as name:
        folder = Path(name)
        argv = ("-m", "lab.localkube", "--api-only", "--block", "248", "--data-dir", f"{name}/data")
        async with _running(*argv, "--ready-file", f"{name}/ready") as process:
            async with asyncio.timeout(START_SECONDS):
                while not (folder / "ready").exists():
                    await asyncio.sleep(0.02)
            admin = load_kubeconfig(Path(json.loads((folder / "ready").read_text())["kubeconfig"]))
            async with KubeClient(admin) as kube:
                connection = Connection(admin.server, ca_pem=admin.ca_pem, token=await _furnish(kube))
                behind = Part(0, process)
                async with _gateway(folder, connection, _certificate(folder), behind, {}) as bench:
                    yield bench, kube


async def _furnish(kube: KubeClient) -> str:
    """Put in what the gateway needs; its token."""
    for namespace in ("shop", "lab-system", "automation"):
        await kube.create("namespaces", {"metadata": {"name": namespace}})
    for file in ("gateway.yaml", "automation-rbac.yaml"):
        text = (data_root() / "clusters" / "base" / file).read_text()
        for manifest in yaml.safe_load_all(text):
            if manifest["kind"] not in ("Deployment", "Service"):
                await kube.create(manifest["kind"], manifest, manifest["metadata"].get("namespace", ""))
    await kube.create("deployments", _WORKER)
    await kube.create("configmaps", _CONTROL)
    spec = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = await kube.create("serviceaccounts", spec, "lab-system", name="gateway", subresource="token")
    return str(made["status"]["token"])


@contextlib.asynccontextmanager
async def _gateway(
    folder: Path, connection: Connection, ca: bytes, behind: Part, more: dict[str, str]
) -> AsyncIterator[Bench]:
    (folder / "clients").mkdir()
    (folder / "clients" / "automation").write_text(TOKEN)
    kubeconfig, authorities = folder / "kubeconfig", connection.ca_pem or b""
    write_kubeconfig(kubeconfig, connection.server, authorities, connection.token or "")
    port = _free_port()
    env = os.environ | {
        "KUBECONFIG": str(kubeconfig), "GATEWAY_TLS_DIR": str(folder),
        "GATEWAY_LISTEN_PORT": str(port), "GATEWAY_ADMIN_PORT": str(_free_port()),
        "GATEWAY_CLIENTS_DIR": str(folder / "clients"), "GATEWAY_AUDIT_FILE": str(folder / "audit.jsonl"),
        "LAB_ADMIN_TOKEN": "admin", "POD_IP": "127.0.0.1",
    } | more  # fmt: skip
    async with _running("-m", "lab.gateway", env=env) as process:
        await _answers(port)
        context = ssl.create_default_context(cadata=ca.decode())
        context.load_verify_locations(cadata=(authorities or ca).decode())
        yield Bench(Part(port, process), behind, context)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def _running(*argv: str, env: dict[str, str] | None = None) -> AsyncIterator[psutil.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, env=env, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


def _certificate(folder: Path) -> bytes:
    authority = new_authority("bench")
    cert, key = authority.issue("gateway", ip_addresses=["127.0.0.1"])
    (folder / "tls.crt").write_bytes(cert)
    (folder / "tls.key").write_bytes(key)
    return authority.cert_pem


_WORKER: dict[str, Any] = {
    "metadata": {"name": "worker", "namespace": "shop"},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "worker"}},
        "template": {
            "metadata": {"labels": {"app": "worker"}},
            "spec": {"containers": [{"name": "worker", "image": "toil-lab"}]},
        },
    },
}
_CONTROL: dict[str, Any] = {
    "metadata": {"name": "automation-control", "namespace": "lab-system"},
    "data": {"mode": "live", "killSwitch": "off"},
}
