"""What happens when the zygote, or a whole localkube, is killed: pods run again, and no process is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from address_blocks import free_block
from kubelet_bench import Bench, python

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

FAMILY = python(
    "import signal, subprocess, sys\n"
    "signal.signal(15, signal.SIG_IGN)\n"
    "code = 'import signal; signal.signal(15, signal.SIG_IGN); signal.pause()'\n"
    "print(subprocess.Popen([sys.executable, '-c', code]).pid, flush=True)\n"
    "signal.pause()"
)
"""A container with a child, both deaf to SIGTERM. It says the child's pid."""


def running(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


async def until(condition: Any, what: str, seconds: float = 40) -> Any:
    async with asyncio.timeout(seconds):
        while not (value := condition()):
            await asyncio.sleep(0.02)
    assert value, what
    return value


def recorded(data: Path) -> set[int]:
    """The pids of the ledger."""
    return {entry["pid"] for entry in json.loads((data / "processes.json").read_text())}


async def test_a_kubelet_that_is_stopped_while_it_starts_leaves_no_process(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.start()
    zygote = await bench.until(lambda: bench.kubelet._node.images.launcher.pid, what="a zygote starts")
    await bench.close()
    assert not psutil.pid_exists(zygote)
    assert recorded(tmp_path / "kubelet") == set()


async def test_a_killed_zygote_is_replaced_and_its_pods_run_again(bench: Bench) -> None:
    bench.pod("kept", FAMILY)
    bench.pod("once", FAMILY, restartPolicy="Never")
    await bench.until_ready("kept")
    await bench.until_ready("once")
    children = [int(await bench.until_said(name)) for name in ("kept", "once")]
    assert all(running(pid) for pid in children)
    launcher = bench.kubelet._node.images.launcher
    old = launcher.pid
    assert old in recorded(bench.directory / "kubelet")
    os.kill(old, signal.SIGKILL)

    await bench.until(lambda: bench.status("kept")["restartCount"] == 1, what="a restart")
    assert bench.status("kept")["lastState"]["terminated"]["exitCode"] == 137
    await bench.until_ready("kept")
    await bench.until_phase("once", "Failed")
    assert bench.status("once")["state"]["terminated"]["exitCode"] == 137
    assert not any(running(pid) for pid in children)
    first = bench.kubelet._pod("default", "kept").containers["main"].process
    assert first is not None
    assert recorded(bench.directory / "kubelet") == {launcher.pid, first.pid}
    assert launcher.pid != old


def start_localkube(directory: Path) -> subprocess.Popen[bytes]:
    """A cluster below a directory; the file `ready` appears there."""
    images = directory / "images.yaml"
    images.write_text("images: [{match: toil-lab, runner: python}]")
    options = {"data-dir": directory / "data", "ready-file": directory / "ready", "images": images}
    options |= {"block": free_block(), "backoff-max": 3}
    words = [f"--{name}={value}" for name, value in options.items()]
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lab.localkube", *words], stdout=log, stderr=log, start_new_session=True
        )


@pytest.fixture
async def localkube(tmp_path: Path) -> AsyncIterator[tuple[subprocess.Popen[bytes], KubeClient, Path]]:
    """A cluster in a process of its own, a client of it, and its data directory."""
    process, data = start_localkube(tmp_path), tmp_path / "data"
    try:
        await until((tmp_path / "ready").exists, "localkube is ready")
        async with KubeClient(load_kubeconfig(data / "admin.kubeconfig")) as client:
            yield process, client, data
    finally:
        process.kill()
        process.wait()


async def until_restarts(client: KubeClient, names: list[str], count: int) -> None:
    """Wait until all the pods run, restarted that often."""
    async with asyncio.timeout(60):
        while True:
            statuses = [(await client.get("pods", name, "default"))["status"] for name in names]
            seen = [each for status in statuses for each in status.get("containerStatuses") or ()]
            if len(seen) == len(names) and all(
                each["restartCount"] == count and "running" in each["state"] for each in seen
            ):
                return
            await asyncio.sleep(0.05)


async def test_nothing_outlives_a_killed_localkube_even_after_a_new_zygote(
    localkube: tuple[subprocess.Popen[bytes], KubeClient, Path],
) -> None:
    process, client, data = localkube
    names = ["one", "two"]
    for name in names:
        container = {"name": "main", "image": "toil-lab", **FAMILY}
        spec = {"nodeName": "local", "containers": [container]}
        await client.create("pods", {"metadata": {"name": name}, "spec": spec}, "default")
    await until_restarts(client, names, 0)
    family = psutil.Process(process.pid).children(recursive=True)
    [zygote] = psutil.Process(process.pid).children()
    zygote.kill()
    await until_restarts(client, names, 1)
    await until(lambda: not any(running(each.pid) for each in family), "the first family ended")

    def grown() -> list[psutil.Process]:
        family = psutil.Process(process.pid).children(recursive=True)
        return family if len(family) == 5 else []

    family = await until(grown, "a zygote, two containers and their children")
    assert recorded(data / "kubelet") < {each.pid for each in family}
    process.kill()
    process.wait()
    await until(lambda: not any(running(each.pid) for each in family), "all ended", seconds=2)
