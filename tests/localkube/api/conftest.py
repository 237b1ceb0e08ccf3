"""One real server process for the whole folder; every test works in a namespace of its own."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from kubectls import Kubectl, kubectl_program
from localkube_process import Served, running

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig


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


@pytest.fixture
def kubectl_of(served: Served, namespace: str, tmp_path: Path) -> Callable[..., Kubectl]:
    """Makes a runner for a kubectl minor, or for the newest, in the test's namespace; it returns stdout."""

    def make(minor: str = "") -> Kubectl:
        binary = kubectl_program(minor)

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
