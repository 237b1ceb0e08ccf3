"""Several virtual nodes in one process, and what happens when one of them loses its power."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from kubelet_bench import Bench, python

from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.kubelet.power import POWER

NODES = builtin("Node")
LEASES = builtin("Lease")
MERGE = "application/merge-patch+json"
PAUSE = python("import signal; print('up', flush=True); signal.pause()")
DEAF = python("import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()")


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Bench]:
    """Three nodes whose leases last a second."""
    bench = Bench(tmp_path, count=3, lease_seconds=1.0)
    await bench.start()
    yield bench
    await bench.close()


def power(bench: Bench, node: str, value: str | None) -> None:
    bench.registry.patch(NODES, "", node, {"metadata": {"annotations": {POWER: value}}}, MERGE)


def condition(obj: Any) -> str:
    return next(c["status"] for c in obj["status"]["conditions"] if c["type"] == "Ready")


def lease(bench: Bench, node: str) -> str:
    return str(bench.registry.get(LEASES, "kube-node-lease", node)["spec"]["renewTime"])


def process_of(bench: Bench, node: str, pod: str) -> psutil.Process:
    process = bench.nodes.kubelets[node]._pod("default", pod).containers["main"].process
    assert process is not None
    return psutil.Process(process.pid)


async def log(bench: Bench, pod: str) -> str:
    return b"".join([part async for part in bench.nodes.logs("default", pod, "")]).decode()


async def test_each_node_has_its_object_its_lease_and_its_pods(nodes: Bench) -> None:
    found = nodes.registry.list(NODES).items
    assert [node["metadata"]["name"] for node in found] == ["local", "local-2", "local-3"]
    for number, node in enumerate(found, 1):
        assert node["metadata"]["labels"]["kubernetes.io/hostname"] == node["metadata"]["name"]
        assert node["status"]["addresses"][0]["address"] == f"127.{nodes.block}.0.{number}"
        assert condition(node) == "True"
        assert lease(nodes, node["metadata"]["name"])
    role = "node-role.kubernetes.io/control-plane"
    assert [role in node["metadata"]["labels"] for node in found] == [True, False, False]
    for number in (1, 2, 3):
        nodes.pod(f"p{number}", PAUSE, nodeName=found[number - 1]["metadata"]["name"])
    pods = [await nodes.until_ready(f"p{number}") for number in (1, 2, 3)]
    assert len({pod["status"]["podIP"] for pod in pods}) == 3
    assert [pod["status"]["hostIP"] for pod in pods] == [
        f"127.{nodes.block}.0.{number}" for number in (1, 2, 3)
    ]
    assert [len(kubelet._workers) for kubelet in nodes.nodes.kubelets.values()] == [1, 1, 1]
    parents = {process_of(nodes, f"local-{number}", f"p{number}").ppid() for number in (2, 3)}
    assert parents == {process_of(nodes, "local", "p1").ppid()}, "one zygote"


async def test_without_power_a_node_says_nothing_and_nothing_runs_there(nodes: Bench) -> None:
    nodes.pod("here", PAUSE)
    nodes.pod("deaf", DEAF, nodeName="local-2")
    await nodes.until_ready("here")
    before = await nodes.until_ready("deaf")
    await nodes.until(lambda: process_of(nodes, "local-2", "deaf"))
    here, deaf = process_of(nodes, "local", "here"), process_of(nodes, "local-2", "deaf")
    seen = nodes.events("deaf")
    power(nodes, "local-2", "off")
    await nodes.until(lambda: not deaf.is_running(), what="the process is killed")
    silent, other = lease(nodes, "local-2"), lease(nodes, "local")
    await nodes.until(lambda: lease(nodes, "local") > other, what="another node's heartbeat")
    assert lease(nodes, "local-2") == silent
    assert nodes.get("deaf") == before
    assert nodes.events("deaf") == seen
    assert here.is_running()
    with pytest.raises(StatusError, match="no route to host"):
        await log(nodes, "deaf")
    assert list((nodes.directory / "kubelet/pods" / before["metadata"]["uid"]).rglob("0.log"))


async def test_with_power_again_it_runs_what_is_left_and_clears_away_the_rest(nodes: Bench) -> None:
    for name in ("kept", "marked", "away"):
        nodes.pod(name, PAUSE, nodeName="local-2")
    uids = {name: (await nodes.until_ready(name))["metadata"]["uid"] for name in ("kept", "marked", "away")}
    processes = [process_of(nodes, "local-2", name) for name in uids]
    power(nodes, "local-2", "off")
    await nodes.until(lambda: not any(each.is_running() for each in processes))
    nodes.delete("marked")
    nodes.delete("away", grace=0)
    assert nodes.get("away") is None
    await nodes.until(lambda: lease(nodes, "local") > lease(nodes, "local-2"))
    assert nodes.get("marked")["metadata"]["deletionTimestamp"], "nobody is there to end it"
    power(nodes, "local-2", None)
    await nodes.until_gone("marked")
    await nodes.until(lambda: nodes.status("kept")["restartCount"] == 1)
    await nodes.until_ready("kept")
    file = nodes.nodes.kubelets["local-2"]._pod("default", "kept").containers["main"].log
    assert file is not None
    await nodes.until(lambda: file.path.read_text().endswith("up\n"), what="it says something")
    assert await log(nodes, "kept") == "up\n"
    pods = nodes.directory / "kubelet/pods"
    await nodes.until(lambda: {each.name for each in pods.iterdir()} == {uids["kept"]})


@pytest.mark.slow
async def test_a_node_without_power_stays_away_at_the_next_start(nodes: Bench) -> None:
    power(nodes, "local-3", "off")
    await nodes.stop()
    stale = lease(nodes, "local-3")
    nodes.kubelet = nodes.make_kubelet()
    await nodes.start()
    before = lease(nodes, "local")
    await nodes.until(lambda: lease(nodes, "local") > before)
    assert lease(nodes, "local-3") == stale
    power(nodes, "local-3", None)
    await nodes.until(lambda: lease(nodes, "local-3") > stale)
    old = nodes.registry.get(NODES, "", "local-3")["metadata"]["uid"]
    power(nodes, "local-3", "off")
    nodes.registry.delete(NODES, "", "local-3")
    await nodes.until(lambda: "local-3" in [n["metadata"]["name"] for n in nodes.registry.list(NODES).items])
    assert nodes.registry.get(NODES, "", "local-3")["metadata"]["uid"] != old, "a new machine of that name"


async def test_a_node_that_was_given_up_wrongly_says_that_it_and_its_pods_are_well(nodes: Bench) -> None:
    nodes.pod("well", PAUSE, nodeName="local-2")
    pod = await nodes.until_ready("well")
    node = nodes.registry.get(NODES, "", "local-2")
    for resource, place, obj in ((builtin("Pod"), "default", pod), (NODES, "", node)):
        status = "Unknown" if resource is NODES else "False"
        conditions = [
            c | ({"status": status} if c["type"] == "Ready" else {}) for c in obj["status"]["conditions"]
        ]
        changed = {"status": {"conditions": conditions}}
        nodes.registry.patch(resource, place, obj["metadata"]["name"], changed, MERGE, subresource="status")
    await nodes.until(lambda: condition(nodes.registry.get(NODES, "", "local-2")) == "True")
    await nodes.until_ready("well")


@pytest.mark.slow
async def test_the_end_of_all_nodes_leaves_no_process(tmp_path: Path) -> None:
    bench = Bench(tmp_path, count=2)
    await bench.start()
    bench.pod("deaf", DEAF, nodeName="local-2")
    await bench.until_ready("deaf")
    process = process_of(bench, "local-2", "deaf")
    await asyncio.wait_for(bench.close(), 60)
    assert not process.is_running()
