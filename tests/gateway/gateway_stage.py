"""The gateway before a real API server, and a kubeconfig that leads to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import any_cluster

from lab.core.clock import SystemClock
from lab.gateway.app import Gateway, build
from lab.gateway.server import server_context, start_front
from lab.gateway.settings import GatewaySettings
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, load_kubeconfig, write_kubeconfig
from lab.kube.pki import new_authority

TOKEN = "token-of-the-automation"
WORKER = any_cluster.worker(replicas=2)


@dataclass
class Stage:
    """A cluster with the lab's own rights in it, a gateway, and a kubeconfig that leads to the gateway."""

    kube: KubeClient
    gateway: Gateway
    kubeconfig: Path

    async def kubectl(self, binary: Path, *arguments: str, stdin: str = "") -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            binary,
            *arguments,
            env={
                "KUBECONFIG": str(self.kubeconfig),
                "PATH": os.environ["PATH"],
                "HOME": str(self.kubeconfig.parent),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate(stdin.encode())
        return process.returncode or 0, out.decode()

    async def everything(self) -> dict[str, str]:
        """Resource versions of all that a shop holds."""
        found = {}
        for kind in ("pods", "deployments", "replicasets", "configmaps", "services"):
            for item in (await self.kube.list(kind, "shop"))["items"]:
                found[f"{kind}/{item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
        return found

    async def settled(self) -> dict[str, str]:
        """The same, once nothing has changed for a while."""
        last: dict[str, str] = {}
        async with asyncio.timeout(20):
            while True:
                now = await self.everything()
                if now == last and sum(name.startswith("pods/") for name in now) == 2:
                    return now
                last = now
                await asyncio.sleep(0.3)

    async def budget_allows(self, name: str, disruptions: int) -> None:
        """Wait until a disruption budget says so."""
        async with asyncio.timeout(30):
            while True:
                budget = await self.kube.get("poddisruptionbudgets", name, "shop")
                if (budget.get("status") or {}).get("disruptionsAllowed") == disruptions:
                    return
                await asyncio.sleep(0.1)

    async def control(self, **data: str) -> None:
        await self.kube.patch("configmaps", "automation-control", {"data": data}, "lab-system")

    def intents(self) -> list[tuple[str, str, str]]:
        return [(r["verb"], r["resource"], r["subresource"]) for r in self.gateway.book.intents()]


async def furnish(kube: KubeClient) -> str:
    """The namespaces, the lab's own manifests of rights, a worker; the gateway's own token."""
    await any_cluster.furnish(kube, "gateway.yaml", "automation-rbac.yaml")
    control = {"metadata": {"name": "automation-control"}, "data": {"mode": "shadow", "killSwitch": "off"}}
    await kube.create("configmaps", control, "lab-system")
    await kube.create("deployments", WORKER)
    return await any_cluster.token(kube, "gateway")


@contextlib.asynccontextmanager
async def running_stage(
    root: Path, source: Callable[[Path], Any] = any_cluster.cluster, **settings: Any
) -> AsyncIterator[Stage]:
    """A cluster from `source` and a gateway before it. settings: of the gateway, besides its folders."""
    with source(root) as admin:
        async with KubeClient(load_kubeconfig(admin)) as kube:
            token = await furnish(kube)
            connection = replace(load_kubeconfig(admin), token=token, client_certificate=None)
            async with _running_gateway(root, connection, settings) as (gateway, kubeconfig):
                yield Stage(kube, gateway, kubeconfig)


@contextlib.asynccontextmanager
async def _running_gateway(
    root: Path, connection: Connection, settings: dict[str, Any]
) -> AsyncIterator[tuple[Gateway, Path]]:
    authority = new_authority("test")
    cert, key = authority.issue("gateway", ip_addresses=["127.0.0.1"])
    (root / "tls.crt").write_bytes(cert)
    (root / "tls.key").write_bytes(key)
    (root / "clients").mkdir()
    (root / "clients" / "automation").write_text(TOKEN)
    settings = {"clients": root / "clients", "audit_file": root / "audit.jsonl"} | settings
    gateway = build(GatewaySettings(**settings), connection, SystemClock())
    runner = await start_front(gateway.front, "127.0.0.1", 0, server_context(root))
    kubeconfig = root / "kubeconfig"
    server = f"https://127.0.0.1:{runner.addresses[0][1]}"
    write_kubeconfig(kubeconfig, server, authority.cert_pem, TOKEN, namespace="shop")
    following = asyncio.create_task(gateway.follow(SystemClock()))
    try:
        yield gateway, kubeconfig
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await runner.cleanup()
        await gateway.close()
