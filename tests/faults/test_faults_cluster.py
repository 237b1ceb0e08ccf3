"""Faults of objects on a real API server: put back exactly, not over others' changes, whoever dies."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import any_cluster
import pytest
from cluster_bench import ClusterBench, Dead, meant
from given_cluster import given_cluster
from shop_pods import Pods, until
from test_faults_in_cluster import kube

from lab.core.fault import MARK, FaultState
from lab.errors import NotReadyError
from lab.faults.injector import Injector
from lab.faults.medium import NoVictimError, OccupiedError
from lab.faults.node_loss import POWER
from lab.kube.client import KubeClient
from lab.shop.database import connect

__all__ = ["kube"]
pytestmark = pytest.mark.safety


@pytest.fixture
async def bench(kube: KubeClient, tmp_path: Path) -> ClusterBench:
    return ClusterBench(kube, tmp_path / "journal.json")


def variable(deployment: dict[str, Any], name: str) -> Any:
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return next((v.get("value") for v in container["env"] if v["name"] == name), None)


async def revision(bench: ClusterBench, name: str, wanted: str) -> None:
    async def rolled() -> bool:
        found = (await bench.deployment(name))["metadata"].get("annotations") or {}
        return found.get("deployment.kubernetes.io/revision") == wanted

    await until(rolled, f"revision {wanted} of {name}")


async def kubectl(bench: ClusterBench, *words: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    config = bench.path.with_name("admin.kubeconfig")
    process = await asyncio.create_subprocess_exec(
        *("kubectl", "--kubeconfig", str(config), "-n", "shop", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


async def test_each_fault_marks_its_object_and_puts_it_back_exactly(bench: ClusterBench) -> None:
    injector = await bench.injector()
    for fault, name in (("bad-release", "api"), ("crash-loop", "worker"), ("automation-twice", "automation")):
        more = {"replicas": 1} if name == "automation" else {}
        before = await bench.create(name, **more)
        namespace = before["metadata"]["namespace"]
        parameters = {"deployment": name} if fault == "crash-loop" else {}
        [entry] = await injector.inject(fault, parameters=parameters)
        bitten = await bench.deployment(name, namespace)
        assert bitten["metadata"]["annotations"][MARK] == entry.id
        assert bitten["spec"] != before["spec"]
        with pytest.raises(OccupiedError):
            await injector.inject(fault, parameters=parameters)
        await injector.undo([entry], "heal")
        assert meant(await bench.deployment(name, namespace)) == meant(before)
        assert injector.journal.entries[entry.id].error == ""


async def test_a_lease_ends_a_fault(bench: ClusterBench) -> None:
    before, injector = await bench.create("api"), await bench.injector()
    [entry] = await injector.inject("bad-config", 30)
    assert variable(await bench.deployment("api"), "PAYMENTS_URL").endswith(":8090")
    bench.clock.seconds += 31
    await injector.tick()
    assert meant(await bench.deployment("api")) == meant(before)
    assert injector.journal.entries[entry.id].undone_by == "lease"


async def test_going_back_one_release_is_a_repair_and_what_else_was_changed_is_put_back(
    bench: ClusterBench,
) -> None:
    before, injector = await bench.create("api"), await bench.injector()
    await revision(bench, "api", "1")
    [entry] = await injector.inject("crash-loop")
    await revision(bench, "api", "2")
    await kubectl(bench, "rollout", "undo", "deployment/api")
    await bench.tick(injector)
    assert injector.journal.entries[entry.id].undone_by == "repair"
    assert meant(await bench.deployment("api")) == meant(before)


async def test_a_later_change_by_somebody_else_is_left_alone_and_told(bench: ClusterBench) -> None:
    await bench.create("api")
    injector = await bench.injector()
    [entry] = await injector.inject("crash-loop")
    patch = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3}}}}
    await bench.kube.patch("deployments", "api", patch, "shop")
    [done] = await injector.undo([entry], "heal")
    after = await bench.deployment("api")
    assert after["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 3
    assert after["spec"]["template"]["spec"]["containers"][0]["command"][-1] == "lab.shop.api"
    assert MARK not in (after["metadata"].get("annotations") or {})
    assert done.error == "changed by somebody else and left alone: spec.strategy"


async def test_an_object_made_anew_is_not_the_victim(bench: ClusterBench) -> None:
    await bench.create("api")
    injector = await bench.injector()
    [entry] = await injector.inject("bad-release")
    await bench.kube.delete("deployments", "api", "shop")
    another = await bench.create("api")
    await bench.tick(injector)
    assert injector.journal.entries[entry.id].undone_by == "restart"
    assert meant(await bench.deployment("api")) == meant(another)


async def test_marks_agree_with_the_journal(bench: ClusterBench) -> None:
    await bench.create("api")
    await bench.create("worker")
    injector = await bench.injector()
    [entry] = await injector.inject("bad-release")
    for name, mark in (("api", None), ("worker", "bad-release-0099")):
        patch = {"metadata": {"annotations": {MARK: mark}}}
        await bench.kube.patch("deployments", name, patch, "shop")
    await bench.tick(injector)
    assert (await bench.deployment("api"))["metadata"]["annotations"][MARK] == entry.id
    assert MARK not in (await bench.deployment("worker"))["metadata"].get("annotations", {})


async def test_without_a_victim_nothing_is_written(bench: ClusterBench) -> None:
    injector = await bench.injector()
    with pytest.raises(NoVictimError, match="there is no Deployment shop/api"):
        await injector.inject("bad-release")
    await bench.create("automation")
    with pytest.raises(NoVictimError, match="runs 0 times"):
        await injector.inject("automation-twice")
    assert bench.on_disk().entries == {}


INJECTING, UNDOING = 6, 3
"""Calls of the parts: get, get, save, get, update, save; and get, update, save."""


async def rescue(bench: ClusterBench, before: dict[str, Any]) -> None:
    """A successor with sound parts: it finds nothing that it cannot undo."""
    successor = await bench.injector()
    await bench.tick(successor, 2)
    assert all(entry.state is not FaultState.PLANNED for entry in successor.journal.open())
    for entry in successor.journal.open():
        mark = (await bench.deployment("api"))["metadata"]["annotations"][MARK]
        assert mark == entry.id
    await successor.undo(successor.journal.open(), "heal")
    assert meant(await bench.deployment("api")) == meant(before)
    assert bench.on_disk().open() == []


async def test_death_at_any_call_leaves_nothing_behind(bench: ClusterBench) -> None:
    before = await bench.create("api")
    for after in (False, True):
        for at in range(INJECTING + UNDOING):
            injector = await bench.injector([at], after=after, error=Dead())
            with pytest.raises(Dead):
                await _inject_and_undo(injector)
            await rescue(bench, before)
    injector = await bench.injector([INJECTING + UNDOING], after=False, error=Dead())
    await _inject_and_undo(injector)
    assert meant(await bench.deployment("api")) == meant(before)


async def test_a_lost_connection_at_any_call_leaves_nothing_behind(bench: ClusterBench) -> None:
    before = await bench.create("api")
    for after in (False, True):
        for at in range(INJECTING + UNDOING):
            injector = await bench.injector([at], after=after, error=ConnectionError("lost"))
            with pytest.raises(NotReadyError, match="lost"):
                await _inject_and_undo(injector)
            await bench.tick(injector, 2)
            await injector.undo(injector.journal.open(), "heal")
            assert meant(await bench.deployment("api")) == meant(before), (after, at)
            assert injector.journal.open() == []
            if bench.on_disk().open():
                await rescue(bench, before)


async def _inject_and_undo(injector: Injector) -> None:
    entries = await injector.inject("bad-release")
    await injector.undo(entries, "heal")


async def test_killed_for_real_the_injector_leaves_nothing_that_its_successor_cannot_undo(
    bench: ClusterBench, pods: Pods, faults_api: Any, database_url: str
) -> None:
    connect(database_url, "test").close()
    before = await bench.create("api")
    kubeconfig = str(bench.path.with_name("admin.kubeconfig"))
    first = await faults_api("faults-1", KUBECONFIG=kubeconfig, FAULT_JOURNAL_FILE="")
    asking = asyncio.create_task(first.call("POST", "faults", {"name": "bad-config"}))

    async def planned() -> bool:
        found = (await bench.kube.list("configmaps", "lab-system"))["items"]
        return any('"bad-config-' in str(one.get("data")) for one in found)

    await until(planned, "it is in the journal")
    await _kill(first)
    await asyncio.gather(asking, return_exceptions=True)
    second = await faults_api("faults-2", KUBECONFIG=kubeconfig, FAULT_JOURNAL_FILE="")
    await second.call("DELETE", "faults")
    assert meant(await bench.deployment("api")) == meant(before)


async def _kill(faults: Any) -> None:
    faults.pod.process.kill()
    await faults.pod.process.wait()


def _pod(name: str, node: str = "one") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": [{"name": name, "image": "toil-lab"}]},
    }


async def test_a_drain_cordons_evicts_and_is_mended_by_uncordon(bench: ClusterBench) -> None:
    one = "toil-lab-one"
    await any_cluster.create(bench.kube, "nodes", _node(one))
    for name in ("api", "load"):
        await bench.kube.create("pods", _pod(name, one))
    injector = await bench.injector()
    choice = {} if given_cluster() is None else {"node": one}  # on a given cluster no other is chosen
    [entry] = await injector.inject("node-drain", parameters=choice)
    assert entry.target.name == one
    assert (await bench.kube.get("nodes", one))["spec"]["unschedulable"] is True
    await bench.tick(injector)
    pods = (await bench.kube.list("pods", "shop"))["items"]
    left = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    assert left == ["load"], "customers stay"
    await bench.kube.patch("nodes", one, {"spec": {"unschedulable": None}})
    await bench.tick(injector)
    assert injector.journal.entries[entry.id].undone_by == "repair"
    assert MARK not in (await bench.kube.get("nodes", one))["metadata"].get("annotations", {})
    [again] = await injector.inject("node-drain", parameters={"node": one})
    await injector.undo([again], "heal")
    assert "unschedulable" not in (await bench.kube.get("nodes", one))["spec"]


def _node(name: str, runtime: str = "localkube://1") -> dict[str, Any]:
    """A node that nobody's pods are sent to."""
    status = {"nodeInfo": {"containerRuntimeVersion": runtime}}
    taint = {"key": "toil-lab/safety-suite", "effect": "NoSchedule"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"taints": [taint]},
        "status": status,
    }


@any_cluster.own_cluster_only
@pytest.mark.slow
async def test_a_node_is_switched_off_and_on_again(bench: ClusterBench) -> None:
    for name in ("one", "two"):
        await bench.kube.create("nodes", _node(name))
    injector = await bench.injector()
    [entry] = await injector.inject("node-loss", parameters={"node": "two"})
    assert (await bench.kube.get("nodes", "two"))["metadata"]["annotations"][POWER] == "off"
    with pytest.raises(NoVictimError, match="the Node two is not taken: it is off already"):
        await injector.inject("node-loss", parameters={"node": "two"})
    await injector.undo([entry], "heal")
    assert "annotations" not in (await bench.kube.get("nodes", "two"))["metadata"]
    assert (await bench.kube.get("nodes", "one"))["metadata"].get("annotations") is None


@any_cluster.own_cluster_only
async def test_the_node_of_the_lab_itself_is_not_lost(bench: ClusterBench) -> None:
    await bench.kube.create("nodes", _node("one"))
    injector = await bench.injector()
    with pytest.raises(NoVictimError, match=r"one: it is the only node, .* lab up --nodes 3"):
        await injector.inject("node-loss")
    await bench.kube.create("nodes", _node("two"))
    await bench.kube.create("nodes", _node("real", "containerd://2.1.0"))
    await bench.kube.create("nodes", _node("three"))
    gateway = _pod("gateway")
    gateway["metadata"]["namespace"] = "lab-system"
    await bench.kube.create("pods", gateway)
    await bench.kube.create("pods", _pod("db") | {"spec": _pod("db")["spec"] | {"nodeName": "two"}})
    await bench.kube.create("pods", _pod("api") | {"spec": _pod("api")["spec"] | {"nodeName": "three"}})
    for node, why in (("one", "lab-system/gateway"), ("two", "shop/db"), ("real", "only a virtual node")):
        with pytest.raises(NoVictimError, match=f"the Node {node} is not taken: {why}"):
            await injector.inject("node-loss", parameters={"node": node})
    [entry] = await injector.inject("node-loss")
    assert entry.target.name == "three"
    with pytest.raises(NoVictimError, match="three: it is off already"):
        await injector.inject("node-loss")
