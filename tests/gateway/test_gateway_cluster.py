"""The gateway before a real localkube, used with a real kubectl: shadow changes nothing, live does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from address_blocks import free_block

from lab.core.clock import SystemClock
from lab.core.places import data_root
from lab.gateway.app import Gateway, build
from lab.gateway.server import server_context, start_front
from lab.gateway.settings import GatewaySettings
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig, write_kubeconfig
from lab.kube.pki import new_authority

BUNDLED = Path("/usr/lib/google-cloud-sdk/bin")
WORKER: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "worker", "namespace": "shop"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "worker"}},
        "template": {
            "metadata": {"labels": {"app": "worker"}},
            "spec": {"containers": [{"name": "worker", "image": "toil-lab"}]},
        },
    },
}


def kubectls() -> list[str]:
    found = [str(path) for path in sorted(BUNDLED.glob("kubectl.1.3*"))]
    return [found[0], found[-1]] if found else [path for path in [shutil.which("kubectl")] if path]


@dataclass
class Stage:
    """A cluster with the lab's own rights in it, a gateway, and a kubeconfig that leads to the gateway."""

    kube: KubeClient
    gateway: Gateway
    kubeconfig: Path

    async def kubectl(self, binary: str, *arguments: str, stdin: str = "") -> tuple[int, str]:
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

    async def control(self, **data: str) -> None:
        await self.kube.patch("configmaps", "automation-control", {"data": data}, "lab-system")

    def intents(self) -> list[tuple[str, str, str]]:
        return [(r["verb"], r["resource"], r["subresource"]) for r in self.gateway.book.intents()]


@contextlib.asynccontextmanager
async def localkube(root: Path) -> AsyncIterator[Path]:
    """A localkube without a kubelet; its administrator's kubeconfig."""
    for attempt in itertools.count():
        block = free_block()
        folder = root / str(block)
        folder.mkdir()
        command = (
            "-m",
            "lab.localkube",
            "--api-only",
            "--block",
            str(block),
            "--data-dir",
            str(folder / "data"),
        )
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, "--ready-file", str(folder / "ready"), stdout=log, stderr=log
            )
        async with asyncio.timeout(20):
            while not (folder / "ready").exists() and process.returncode is None:
                await asyncio.sleep(0.02)
        if process.returncode is None:
            break
        assert attempt < 10, (folder / "log").read_text()
    try:
        yield Path(json.loads((folder / "ready").read_text())["kubeconfig"])
    finally:
        process.terminate()
        async with asyncio.timeout(15):
            await process.wait()


async def furnish(kube: KubeClient) -> str:
    """The namespaces, the lab's own manifests of rights, a worker; the gateway's own token."""
    for name in ("shop", "lab-system", "automation"):
        await kube.create("namespaces", {"metadata": {"name": name}})
    for file in ("gateway.yaml", "automation-rbac.yaml"):
        for manifest in yaml.safe_load_all((data_root() / "clusters" / "base" / file).read_text()):
            if manifest["kind"] not in ("Deployment", "Service"):
                await kube.create(manifest["kind"], manifest, manifest["metadata"].get("namespace", ""))
    control = {"metadata": {"name": "automation-control"}, "data": {"mode": "shadow", "killSwitch": "off"}}
    await kube.create("configmaps", control, "lab-system")
    await kube.create("deployments", WORKER)
    request: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await kube.create("serviceaccounts", request, "lab-system", name="gateway", subresource="token")
    return str(answer["status"]["token"])


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with localkube(tmp_path) as admin, KubeClient(load_kubeconfig(admin)) as kube:
        token = await furnish(kube)
        connection = replace(load_kubeconfig(admin), token=token, client_certificate=None)
        authority = new_authority("test")
        cert, key = authority.issue("gateway", ip_addresses=["127.0.0.1"])
        (tmp_path / "tls.crt").write_bytes(cert)
        (tmp_path / "tls.key").write_bytes(key)
        (tmp_path / "clients").mkdir()
        (tmp_path / "clients" / "automation").write_text("token-of-the-automation")
        settings = GatewaySettings(clients=tmp_path / "clients", audit_file=tmp_path / "audit.jsonl")
        gateway = build(settings, connection, SystemClock())
        runner = await start_front(gateway.front, "127.0.0.1", 0, server_context(tmp_path))
        server = f"https://127.0.0.1:{runner.addresses[0][1]}"
        kubeconfig = tmp_path / "kubeconfig"
        write_kubeconfig(kubeconfig, server, authority.cert_pem, "token-of-the-automation", namespace="shop")
        following = asyncio.create_task(gateway.follow(SystemClock()))
        try:
            yield Stage(kube, gateway, kubeconfig)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await runner.cleanup()
            await gateway.close()


async def test_kubectl_in_shadow_believes_it_acts_and_nothing_changes(stage: Stage) -> None:
    binaries = kubectls()
    if not binaries:
        pytest.skip("no kubectl here")
    before = await stage.settled()
    pod = next(name for name in before if name.startswith("pods/"))
    changed = json.loads(json.dumps(WORKER))
    changed["spec"]["replicas"] = 5
    for binary in binaries:
        for arguments, stdin, said in (
            (("get", "pods"), "", "worker-"),
            (("delete", pod, "--wait=false"), "", "deleted"),
            (("delete", pod, "--wait=false", "--grace-period=0", "--force"), "", "deleted"),
            (("scale", "deployment/worker", "--replicas=0"), "", "scaled"),
            (("rollout", "restart", "deployment/worker"), "", "restarted"),
            (("set", "env", "deployment/worker", "A=b"), "", "updated"),
            (("apply", "-f", "-"), json.dumps(changed), "configured"),
            (
                ("apply", "--server-side", "--force-conflicts", "-f", "-"),
                json.dumps(changed),
                "serverside-applied",
            ),
        ):
            code, out = await stage.kubectl(binary, *arguments, stdin=stdin)
            assert (code, said in out) == (0, True), f"{binary} {arguments}: {out}"
    assert await stage.everything() == before
    assert stage.intents().count(("delete", "pods", "")) == 2 * len(binaries)
    assert ("patch", "deployments", "scale") in stage.intents()
    diffs = [r["diff"] for r in stage.gateway.book.intents() if r["subresource"] == "scale"]
    assert {"op": "replace", "path": "/spec/replicas", "value": 0} in diffs[0]


async def test_rights_are_those_of_the_automation_in_both_modes(stage: Stage) -> None:
    binaries = kubectls()
    if not binaries:
        pytest.skip("no kubectl here")
    await stage.settled()
    for mode in ("shadow", "live"):
        await stage.control(mode=mode)
        await stage.gateway.control.read()
        for arguments in (
            ("get", "secrets"), ("get", "pods", "-n", "lab-system"), ("delete", "namespace", "shop"),
            ("create", "configmap", "x"), ("delete", "configmap", "automation-control", "-n", "lab-system"),
        ):  # fmt: skip
            code, out = await stage.kubectl(binaries[-1], *arguments)
            assert (code, "orbidden" in out) == (1, True), f"{mode} {arguments}: {out}"


async def test_live_acts_and_the_kill_switch_stops_it_at_once(stage: Stage) -> None:
    binaries = kubectls()
    if not binaries:
        pytest.skip("no kubectl here")
    before = await stage.settled()
    pod = next(name for name in before if name.startswith("pods/"))
    await stage.control(mode="live", killSwitch="on", by="ann", reason="practice")
    code, out = await stage.kubectl(binaries[-1], "delete", pod, "--wait=false")
    assert code == 1
    assert "ann" in out
    assert "practice" in out
    assert await stage.everything() == before
    await stage.control(killSwitch="off")
    code, out = await stage.kubectl(binaries[-1], "scale", "deployment/worker", "--replicas=3")
    assert (code, "scaled" in out) == (0, True), out
    found = await stage.kube.get("deployments", "worker", "shop")
    assert found["spec"]["replicas"] == 3
    record = stage.gateway.book.read()[-1]
    assert (record["decision"], record["mode"], record["dry_run"]) == ("allowed", "live", False)


async def test_a_watch_through_the_gateway_sees_the_cluster_change(stage: Stage) -> None:
    await stage.settled()
    connection = load_kubeconfig(stage.kubeconfig)
    async with KubeClient(connection) as client:
        seen = []
        listed = await client.list("deployments", "shop")
        watch = client.watch("deployments", "shop", resource_version=listed["metadata"]["resourceVersion"])
        changing = asyncio.ensure_future(
            stage.kube.patch("deployments", "worker", {"metadata": {"labels": {"x": "y"}}}, "shop")
        )
        async with asyncio.timeout(10):
            async for event in watch:
                seen.append(event["object"]["metadata"].get("labels"))
                if {"x": "y"} in seen:
                    break
        await watch.aclose()  # type: ignore[attr-defined]
        await changing
    assert {"x": "y"} in seen


async def test_every_way_to_engage_the_switch_reaches_the_gateway_at_once(stage: Stage) -> None:
    """The ConfigMap is watched with the gateway's own rights, and its button writes with them."""
    control, seconds = stage.gateway.control, []
    await stage.settled()
    for by in ("ann", "bob", "eve"):
        engaged = asyncio.get_running_loop().time()
        await stage.control(killSwitch="on", by=by)
        async with asyncio.timeout(5):
            while not (control.last.stopped and control.last.by == by):
                await asyncio.sleep(0.001)
        seconds.append(asyncio.get_running_loop().time() - engaged)
        await stage.control(killSwitch="off")
        async with asyncio.timeout(5):
            while control.last.stopped:
                await asyncio.sleep(0.001)
    assert sorted(seconds)[1] < 0.2, seconds
    state = await stage.gateway.switch.set({"on": True, "by": "the page", "reason": "demo"})
    assert (state.stopped, state.by) == (True, "the page")
    found = await stage.kube.get("configmaps", "automation-control", "lab-system")
    assert (found["data"]["killSwitch"], found["data"]["mode"]) == ("on", "shadow")


async def test_kubectl_meets_budgets_and_is_shown_what_it_intended(stage: Stage) -> None:
    binaries = kubectls()
    if not binaries:
        pytest.skip("no kubectl here")
    before = await stage.settled()
    pod = next(name for name in before if name.startswith("pods/"))
    code, out = await stage.kubectl(binaries[-1], "delete", pod, "--wait=false")
    assert code == 0, out
    server = load_kubeconfig(stage.kubeconfig).server
    code, out = await stage.kubectl(
        binaries[-1], "get", "pods", "-o", "name", "-s", f"{server}/view/intended"
    )
    assert code == 0, out
    assert len(out.split()) == 1
    assert pod.replace("pods/", "pod/") not in out
    budgets = {"enforce": True, "shareOfWorkload": 0.5}
    await stage.control(mode="live", budgets=json.dumps(budgets))
    code, out = await stage.kubectl(binaries[-1], "scale", "deployment/worker", "--replicas=0")
    assert code == 1
    assert "2 of 2 pods of deployments shop/worker would be away" in out
    code, out = await stage.kubectl(binaries[-1], "scale", "deployment/worker", "--replicas=1")
    assert code == 0, out
    found = await stage.kube.get("deployments", "worker", "shop")
    assert found["spec"]["replicas"] == 1
