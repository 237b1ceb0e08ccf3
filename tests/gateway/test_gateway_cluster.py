"""The gateway before a real API server, used with a real kubectl: shadow changes nothing, live does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_stage import WORKER, Stage, running_stage
from kubectls import both_ends, kubectl_program

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

pytestmark = pytest.mark.safety


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with running_stage(tmp_path) as running:
        yield running


async def test_kubectl_in_shadow_believes_it_acts_and_nothing_changes(stage: Stage) -> None:
    binaries = both_ends()
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
    kubectl = kubectl_program()
    await stage.settled()
    for mode in ("shadow", "live"):
        await stage.control(mode=mode)
        await stage.gateway.control.read()
        for arguments in (
            ("get", "secrets"), ("get", "pods", "-n", "lab-system"), ("delete", "namespace", "shop"),
            ("create", "configmap", "x"), ("delete", "configmap", "automation-control", "-n", "lab-system"),
        ):  # fmt: skip
            code, out = await stage.kubectl(kubectl, *arguments)
            assert (code, "orbidden" in out) == (1, True), f"{mode} {arguments}: {out}"


async def test_live_acts_and_the_kill_switch_stops_it_at_once(stage: Stage) -> None:
    kubectl = kubectl_program()
    before = await stage.settled()
    pod = next(name for name in before if name.startswith("pods/"))
    await stage.control(mode="live", killSwitch="on", by="ann", reason="practice")
    code, out = await stage.kubectl(kubectl, "delete", pod, "--wait=false")
    assert code == 1
    assert "ann" in out
    assert "practice" in out
    assert await stage.everything() == before
    await stage.control(killSwitch="off")
    code, out = await stage.kubectl(kubectl, "scale", "deployment/worker", "--replicas=3")
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
    kubectl = kubectl_program()
    before = await stage.settled()
    pod = next(name for name in before if name.startswith("pods/"))
    code, out = await stage.kubectl(kubectl, "delete", pod, "--wait=false")
    assert code == 0, out
    server = load_kubeconfig(stage.kubeconfig).server
    code, out = await stage.kubectl(kubectl, "get", "pods", "-o", "name", "-s", f"{server}/view/intended")
    assert code == 0, out
    assert len(out.split()) == 1
    assert pod.replace("pods/", "pod/") not in out
    budgets = {"enforce": True, "shareOfWorkload": 0.5}
    await stage.control(mode="live", budgets=json.dumps(budgets))
    code, out = await stage.kubectl(kubectl, "scale", "deployment/worker", "--replicas=0")
    assert code == 1
    assert "2 of 2 pods of deployments shop/worker would be away" in out
    code, out = await stage.kubectl(kubectl, "scale", "deployment/worker", "--replicas=1")
    assert code == 0, out
    found = await stage.kube.get("deployments", "worker", "shop")
    assert found["spec"]["replicas"] == 1
