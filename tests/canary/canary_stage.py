"""A real API server with the lab's own rights, and a real gateway before it: what the canary works with."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import any_cluster
import requests
import yaml

from lab.canary.report import Item
from lab.canary.restore import Restorer
from lab.canary.services import GatewayAudit
from lab.canary.undo import changes
from lab.core.audit import AuditRecord, Decision, Mode
from lab.core.clock import SystemClock
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, load_kubeconfig
from lab.kube.pki import new_authority

ADMIN = "token-of-the-lab"
ACTOR = "token-of-the-automation"
RIGHTS = ("gateway.yaml", "automation-rbac.yaml", "canary.yaml")
GROUPS = ("toil-lab:live", "toil-lab:canary", "toil-lab:shadow")
MORE: dict[str, list[str]] = {
    "": ["configmaps", "pods", "services", "secrets"],
    "apps": ["deployments", "statefulsets"],
    "batch": ["cronjobs", "jobs"],
    "autoscaling": ["horizontalpodautoscalers"],
}
"""What the automation of these tests may write besides: every kind that can be restored."""


@dataclass(frozen=True)
class Place:
    """Where everything is. admin, gateway, canary: connections, the second through the gateway."""

    admin: Connection
    gateway: Connection
    canary: Connection
    audit_url: str
    gateway_process: subprocess.Popen[bytes]

    def audit(self) -> GatewayAudit:
        return GatewayAudit(self.audit_url, ADMIN)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(condition: Callable[[], Any], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.02)  # noqa: TID251 - outside of any loop


async def until(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """Wait for a condition that may be asynchronous; what it gave."""
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            found = await found if asyncio.iscoroutine(found) else found
            if found:
                return found
            await asyncio.sleep(0.02)
    raise AssertionError(what)


async def furnish(admin: Connection) -> dict[str, str]:
    """The namespaces and the lab's own manifests of rights; tokens of gateway and canary."""
    async with KubeClient(admin) as kube:
        await any_cluster.furnish(kube, *RIGHTS)
        control = {"metadata": {"name": "automation-control"}, "data": {"mode": "live", "killSwitch": "off"}}
        await kube.create("configmaps", control, "lab-system")
        rules = [
            {"apiGroups": [group], "resources": plurals, "verbs": ["*"]} for group, plurals in MORE.items()
        ]
        await kube.create("roles", {"metadata": {"name": "more"}, "rules": rules}, "shop")
        binding = {
            "metadata": {"name": "more"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "more"},
            "subjects": [
                {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": g} for g in GROUPS
            ],
        }
        await kube.create("rolebindings", binding, "shop")
        return {name: await any_cluster.token(kube, name) for name in ("gateway", "canary")}


@contextmanager
def running_gateway(root: Path, kubeconfig: Path, token: str) -> Iterator[tuple[Connection, str, Any]]:
    """A gateway as a process: a connection through it, and its admin address."""
    authority = new_authority("test")
    cert, key = authority.issue("gateway", ip_addresses=["127.0.0.1"])
    for name, content in (("tls.crt", cert), ("tls.key", key), ("ca.crt", authority.cert_pem)):
        (root / name).write_bytes(content)
    (root / "clients").mkdir()
    (root / "clients" / "automation").write_text(ACTOR)
    given = yaml.safe_load(kubeconfig.read_text())
    given["users"][0]["user"] = {"token": token}
    (root / "gateway-kubeconfig").write_text(yaml.safe_dump(given))
    port, admin = free_port(), free_port()
    settings = {
        "KUBECONFIG": str(root / "gateway-kubeconfig"),
        "GATEWAY_LISTEN_PORT": str(port),
        "GATEWAY_ADMIN_PORT": str(admin),
        "GATEWAY_TLS_DIR": str(root),
        "GATEWAY_CLIENTS_DIR": str(root / "clients"),
        "GATEWAY_AUDIT_FILE": str(root / "audit.jsonl"),
        "LAB_ADMIN_TOKEN": ADMIN,
        "POD_IP": "127.0.0.1",
        "POD_NAMESPACE": "lab-system",
    }
    with (root / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.gateway"], env=os.environ | settings, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{admin}"

    def ready() -> bool:
        assert process.poll() is None, (root / "gateway.log").read_text()
        try:
            return requests.get(f"{url}/readyz", timeout=1).ok
        except requests.ConnectionError:
            return False

    try:
        wait(ready, "the gateway is ready")
        connection = Connection(f"https://127.0.0.1:{port}", ca_pem=authority.cert_pem, token=ACTOR)
        yield connection, url, process
    finally:
        process.terminate()
        process.wait(15)


@contextmanager
def running_place(root: Path) -> Iterator[Place]:
    """All of it."""
    with any_cluster.cluster(root) as kubeconfig:
        admin = load_kubeconfig(kubeconfig)
        tokens = asyncio.run(furnish(admin))
        with running_gateway(root, kubeconfig, tokens["gateway"]) as (gateway, url, process):
            canary = replace(admin, token=tokens["canary"], client_certificate=None)
            yield Place(admin, gateway, canary, url, process)


@dataclass
class Stage:
    """Clients: people work on `kube`, the automation through the gateway, the canary with its own rights."""

    kube: KubeClient
    automation: KubeClient
    canary: KubeClient
    audit: GatewayAudit
    begun: int = 0

    async def restore(self, *, dry_run: bool = False) -> dict[str, Item]:
        """Take back what the automation did since the test began; items by the object's name."""
        found = changes((await self.audit.records(self.begun))[0])
        restorer = Restorer(self.canary, SystemClock())
        items = [item async for item in restorer.restore(found, dry_run=dry_run)]
        return {item.target.rpartition("/")[2]: item for item in items}


class MovedClock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


BEFORE = {"kind": "Deployment", "metadata": {"name": "worker", "uid": "u"}, "spec": {"replicas": 8}}
DIFF = ({"op": "replace", "path": "/spec/replicas", "value": 2},)


def record(**more) -> AuditRecord:
    base = {
        "seq": 7,
        "time": "2030-01-01T00:00:00.000000Z",
        "actor": "automation",
        "mode": Mode.CANARY,
        "verb": "patch",
        "group": "apps",
        "resource": "deployments",
        "subresource": "",
        "namespace": "shop",
        "name": "worker",
        "decision": Decision.ALLOWED,
        "code": 200,
        "latency_ms": 1.0,
        "mutating": True,
    }
    return AuditRecord(**base | more)
