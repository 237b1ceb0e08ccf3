"""One whole localkube, with a kubelet, for the real clients of this folder; a namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from kubectl_session import Kubectl
from kubectls import kubectl_program
from localkube_process import Served, running

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig


@pytest.fixture(scope="session")
def cluster() -> Iterator[Served]:
    """The server that all tests of this process share."""
    with running() as server:
        yield server


@pytest.fixture
async def kube(cluster: Served) -> AsyncIterator[KubeClient]:
    """The lab's own light client as administrator."""
    async with KubeClient(load_kubeconfig(cluster.kubeconfig)) as client:
        yield client


@pytest.fixture
async def namespace(kube: KubeClient) -> AsyncIterator[str]:
    """A fresh namespace; what it holds goes with it."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    await kube.create("namespaces", {"metadata": {"name": name}})
    yield name
    await kube.delete("namespaces", name)


@pytest.fixture
def kubectl(request: pytest.FixtureRequest, cluster: Served, namespace: str, tmp_path: Path) -> Kubectl:
    """The newest kubectl, or that of the minor release which the test is parametrized with."""
    binary = kubectl_program(getattr(request, "param", ""))
    return Kubectl(binary, cluster.kubeconfig, namespace, tmp_path)
