"""The safety suite before a cluster that others use: what it refuses, and that it leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import any_cluster
import pytest
from given_cluster import LABEL, NAMESPACES, RIGHTS, GivenCluster

from lab.errors import NotReadyError, UsageError
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, load_kubeconfig, write_kubeconfig
from lab.providers.contexts import Context

SUITE = Path(__file__).parent
ONE_TEST = "faults/test_faults_in_cluster.py::test_the_journal_lives_in_a_config_map"


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with any_cluster.localkube(tmp_path_factory.mktemp("shared"), "--api-only") as kubeconfig:
        yield kubeconfig


@pytest.fixture
async def kube(admin: Path) -> AsyncIterator[KubeClient]:
    async with KubeClient(load_kubeconfig(admin)) as client:
        yield client


def before(connection: Connection) -> GivenCluster:
    return GivenCluster(Context("shared", "shared", connection.server), connection)


async def test_what_others_made_is_neither_used_nor_removed(admin: Path, kube: KubeClient) -> None:
    cluster = before(load_kubeconfig(admin))
    await kube.create("namespaces", {"metadata": {"name": "shop"}})
    await kube.create("clusterroles", {"metadata": {"name": "toil-lab-gateway"}, "rules": []})
    with pytest.raises(UsageError) as caught:
        cluster.check()
    for named in ("what this suite did not make", "namespaces shop", "clusterroles toil-lab-gateway"):
        assert named in caught.value.message
    cluster.remove()
    await kube.get("clusterroles", "toil-lab-gateway")
    assert (await kube.get("namespaces", "shop"))["status"]["phase"] == "Active"
    await kube.delete("clusterroles", "toil-lab-gateway")
    await kube.delete("namespaces", "shop")


async def test_all_missing_rights_are_named_at_once(admin: Path, kube: KubeClient, tmp_path: Path) -> None:
    await kube.create("serviceaccounts", {"metadata": {"name": "guest"}}, "default")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await kube.create("serviceaccounts", request, "default", name="guest", subresource="token")
    connection = load_kubeconfig(admin)
    write_kubeconfig(tmp_path / "guest", connection.server, connection.ca_pem, answer["status"]["token"])
    with pytest.raises(UsageError) as caught:
        before(load_kubeconfig(tmp_path / "guest")).check()
    for right in RIGHTS:
        assert f"\n  - {right}" in caught.value.message
    assert "everything in the namespace shop" in caught.value.message
    assert "bind clusterroles.rbac.authorization.k8s.io" in caught.value.message


def test_a_cluster_that_does_not_answer_is_said() -> None:
    with pytest.raises(NotReadyError, match="does not answer"):
        before(Connection("https://127.0.0.1:9")).check()


async def everything(kube: KubeClient) -> set[str]:
    """What carries the label, and the namespaces."""
    selector = ",".join(f"{key}={value}" for key, value in LABEL.items())
    kinds = ("namespaces", "clusterroles", "clusterrolebindings", "validatingadmissionpolicies", "nodes")
    found = {
        f"{kind} {item['metadata']['name']}"
        for kind in kinds
        for item in (await kube.list(kind, label_selector=selector))["items"]
    }
    namespaces = {item["metadata"]["name"] for item in (await kube.list("namespaces"))["items"]}
    return found | (namespaces & set(NAMESPACES))


async def test_between_tests_it_is_empty_and_afterwards_gone(admin: Path, kube: KubeClient) -> None:
    cluster = before(load_kubeconfig(admin))
    cluster.check()
    cluster.prepare()
    await any_cluster.furnish(kube, "gateway.yaml", "faults.yaml", "shadow-wall.yaml")
    held = {"metadata": {"name": "held", "finalizers": ["example.com/held"]}, "data": {}}
    await kube.create("configmaps", held, "shop")
    assert "clusterroles toil-lab-gateway" in await everything(kube)
    cluster.wipe()
    assert await everything(kube) == {f"namespaces {name}" for name in NAMESPACES} | set(NAMESPACES)
    assert [c["metadata"]["name"] for c in (await kube.list("configmaps", "shop"))["items"]] in (
        [],
        ["kube-root-ca.crt"],
    )
    cluster.prepare()  # a run that was killed has left them
    cluster.remove()
    assert await everything(kube) == set()


def suite(kubeconfig: Path, log: Path, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
    """The suite in a process of its own."""
    settings = os.environ | {"SAFETY_KUBECONFIG": str(kubeconfig)} | env
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER_COUNT"):
        settings.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-m", "safety", *arguments]
    with log.open("wb") as out:
        return subprocess.Popen(command, cwd=SUITE.parent, env=settings, stdout=out, stderr=out)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
async def test_stopped_in_the_middle_it_leaves_nothing(
    admin: Path, kube: KubeClient, tmp_path: Path, name: str
) -> None:
    log = tmp_path / "log"
    process = suite(admin, log, str(SUITE / "gateway" / "test_gateway_second_wall.py"))
    try:
        async with asyncio.timeout(120):
            while "clusterroles toil-lab-everything" not in await everything(kube):
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.1)
        process.send_signal(getattr(signal, name))
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    assert "Nothing of the suite is left in" in log.read_text()
    assert await everything(kube) == set()


@pytest.mark.slow
def test_a_context_that_looks_like_production_is_refused_until_it_is_named_twice(
    admin: Path, tmp_path: Path
) -> None:
    given = tmp_path / "config"
    given.write_text(admin.read_text().replace('"localkube"', '"prod-lab"'))
    for again, code, said in (("", 2, "looks like production"), ("prod-lab", 0, "1 passed")):
        log = tmp_path / "log"
        process = suite(given, log, str(SUITE / ONE_TEST), SAFETY_CONTEXT_AGAIN=again)
        assert process.wait(120) == code, log.read_text()
        assert said in log.read_text()
