"""A server that is killed at any moment under load loses nothing that it acknowledged, and no process stays.

`LAB_CRASHES=200 pytest -m slow ...` kills it so many times; `LAB_CRASH_SEED` chooses other moments.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from address_blocks import free_block
from crashing import Follower, Ledger, load, values
from localkube_process import start_server, wait_ready

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

CRASHES = int(os.environ.get("LAB_CRASHES", "10"))
SEED = int(os.environ.get("LAB_CRASH_SEED", "1"))
WRITERS = 6
PATIENCE = 120.0


def started(directory: Path, block: int, *more: str) -> subprocess.Popen[bytes]:
    """A server that is ready, on the data that the last one left."""
    (directory / "ready").unlink(missing_ok=True)
    process = start_server(directory, block, *more)
    assert wait_ready(process, directory), (directory / "log").read_text()
    return process


async def killed_under_load(
    process: subprocess.Popen[bytes],
    kube: KubeClient,
    ledger: Ledger,
    follower: Follower,
    chance: random.Random,
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(load(kube, ledger, follower, chance, WRITERS))
        await asyncio.sleep(chance.uniform(0.02, 0.7))
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait)


async def examined(kube: KubeClient, ledger: Ledger, follower: Follower, crash: int) -> None:
    """The state after a restart against what the clients know."""
    listed = await kube.list("configmaps", "default")
    present = values(listed)
    count = int(present.pop("counter"))
    present.pop("kube-root-ca.crt", None)
    ledger.settle({name: value for name, value in present.items() if not name.startswith("marker")}, count)
    newest = max(ledger.versions, default=0)
    assert int(listed["metadata"]["resourceVersion"]) >= newest
    marker = f"marker-{crash}"
    made = await kube.create("configmaps", {"metadata": {"name": marker}}, "default")
    assert int(made["metadata"]["resourceVersion"]) > newest
    assert len(ledger.versions) == len(set(ledger.versions)), "a version was given out twice"
    async with asyncio.timeout(PATIENCE):
        await follower.follow(kube, until=marker)
    assert follower.state == values(await kube.list("configmaps", "default"))


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    chance, block = random.Random(SEED), free_block()
    ledger, follower = Ledger(), Follower()
    process = started(tmp_path, block, "--api-only")
    try:
        for crash in range(CRASHES):
            async with KubeClient(load_kubeconfig(tmp_path / "data" / "admin.kubeconfig")) as kube:
                if crash == 0:
                    await kube.create(
                        "configmaps", {"metadata": {"name": "counter"}, "data": {"n": "0"}}, "default"
                    )
                else:
                    await examined(kube, ledger, follower, crash)
                await killed_under_load(process, kube, ledger, follower, chance)
            process = started(tmp_path, block, "--api-only")
        async with KubeClient(load_kubeconfig(tmp_path / "data" / "admin.kubeconfig")) as kube:
            await examined(kube, ledger, follower, CRASHES)
        assert len(ledger.versions) > CRASHES
        process.terminate()
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()


def family(pid: int) -> dict[int, float]:
    """The processes below one: pid and when each began."""
    return {child.pid: child.create_time() for child in psutil.Process(pid).children(recursive=True)}


def survivors(known: dict[int, float]) -> list[int]:
    found = []
    for pid, began in known.items():
        try:
            process = psutil.Process(pid)
            if process.create_time() == began and process.status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.Error:
            continue
    return found


async def until(condition: object, what: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.05)
    assert condition(), what  # type: ignore[operator]


async def ready_replicas(kube: KubeClient, wanted: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await kube.get(
                "deployments",
                "web",
                "default",
            )
            if found.get("status", {}).get("readyReplicas", 0) == wanted:
                return
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_no_process_of_a_pod_outlives_the_server(tmp_path: Path) -> None:
    chance, block = random.Random(SEED), free_block()
    container = {"name": "c", "image": "python", "command": ["python", "-c", "import signal; signal.pause()"]}
    labels = {"app": "web"}
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    process = started(tmp_path, block)
    try:
        for crash in range(max(3, CRASHES // 10)):
            async with KubeClient(load_kubeconfig(tmp_path / "data" / "admin.kubeconfig")) as kube:
                if crash == 0:
                    await kube.create("deployments", {"metadata": {"name": "web"}, "spec": spec}, "default")
                if chance.random() < 0.7:
                    await ready_replicas(kube, 3)
                else:
                    await asyncio.sleep(chance.uniform(0.0, 0.5))
                known = family(process.pid)
            process.kill()
            await asyncio.to_thread(process.wait)
            await until(lambda: not survivors(known), "processes outlive the server")  # noqa: B023
            process = started(tmp_path, block)
        async with KubeClient(load_kubeconfig(tmp_path / "data" / "admin.kubeconfig")) as kube:
            await ready_replicas(kube, 3)
        known = family(process.pid)
        process.terminate()
        await asyncio.to_thread(process.wait, PATIENCE)
        assert not survivors(known)
    finally:
        process.kill()
        process.wait()
