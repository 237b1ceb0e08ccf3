"""One real server process for the whole folder; every test works in a namespace of its own."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from address_blocks import free_block

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

GCLOUD = Path("/usr/lib/google-cloud-sdk/bin")


@dataclass(frozen=True)
class Served:
    """A running API server."""

    directory: Path
    server: str
    kubeconfig: Path
    process: subprocess.Popen[bytes]
    block: int


def start_server(directory: Path, block: int, *more: str) -> subprocess.Popen[bytes]:
    """Start one; its output goes to `log` in the directory."""
    directory.mkdir(exist_ok=True)
    with (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "lab.localkube", "--block", str(block), *more),
                *("--data-dir", str(directory / "data"), "--ready-file", str(directory / "ready")),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def wait_ready(process: subprocess.Popen[bytes], directory: Path) -> bool:
    """Wait for the ready-file; False when the process ended instead."""
    deadline = time.monotonic() + 20
    pause = threading.Event()
    while not (directory / "ready").exists():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, (directory / "log").read_text()
        pause.wait(0.01)
    return True


@contextmanager
def running(*more: str) -> Iterator[Served]:
    """A server on a free block; it must end well."""
    root = Path(tempfile.mkdtemp(prefix="localkube-api-"))
    for attempt in itertools.count():
        block = free_block()
        directory = root / str(block)
        process = start_server(directory, block, *more)
        if wait_ready(process, directory):
            break
        assert attempt < 10, (directory / "log").read_text()
    ready = json.loads((directory / "ready").read_text())
    try:
        yield Served(directory, ready["server"], Path(ready["kubeconfig"]), process, block)
    finally:
        process.terminate()
        code = process.wait(15)
        log = (directory / "log").read_text()
        shutil.rmtree(root)
    assert code == 0, log
    assert "Traceback" not in log, log
    assert "ERROR" not in log, log


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    """The server without a kubelet that nearly all tests share."""
    with running("--api-only") as server:
        yield server


@pytest.fixture(scope="session")
def whole() -> Iterator[Served]:
    """A whole cluster, with a kubelet, for what reaches into pods."""
    with running() as server:
        yield server


@pytest.fixture
async def kube(served: Served) -> AsyncIterator[KubeClient]:
    """The light client as administrator."""
    async with KubeClient(load_kubeconfig(served.kubeconfig)) as client:
        yield client


@pytest.fixture
async def namespace(kube: KubeClient) -> str:
    """A fresh namespace."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    await kube.create("namespaces", {"metadata": {"name": name}})
    return name


Kubectl = Callable[..., str]


def kubectl_binary(minor: str) -> Path:
    """The kubectl of a minor release; skips the test when it is not installed."""
    path = GCLOUD / f"kubectl.{minor}"
    if path.exists():
        return path
    found = shutil.which("kubectl")
    if found and minor == "1.32":
        return Path(found)
    pytest.skip(f"kubectl {minor} is not installed")


@pytest.fixture
def kubectl_of(served: Served, namespace: str, tmp_path: Path) -> Callable[[str], Kubectl]:
    """Makes a runner for a kubectl minor, in the test's namespace; it returns stdout."""

    def make(minor: str) -> Kubectl:
        binary = kubectl_binary(minor)

        def run(*arguments: str, stdin: str = "", fails: bool = False) -> str:
            done = subprocess.run(
                [str(binary), "-n", namespace, *arguments],
                input=stdin.encode(),
                capture_output=True,
                timeout=30,
                env={"KUBECONFIG": str(served.kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            )
            assert (done.returncode != 0) == fails, (arguments, done.stdout, done.stderr)
            return (done.stderr if fails else done.stdout).decode()

        return run

    return make
