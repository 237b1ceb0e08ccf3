"""A real API server behind the gateway: canary, eviction budgets and approvals with the real pager."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from gateway_stage import WORKER, Stage, running_stage
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock, TimeScale
from lab.gateway.membership import bucket
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.status import StatusError
from lab.pager.server import pager_app

pytestmark = pytest.mark.safety
ADMIN = "token-of-the-lab"
EVERY_DELETE = {"verb": "delete", "resource": "pods", "class": "irreversible"}


@contextlib.asynccontextmanager
async def running_pager() -> AsyncIterator[str]:
    """The pager's HTTP side in this process; its address."""
    app = pager_app(clock=SystemClock(), scale=TimeScale(), registry=CollectorRegistry(), admin_token=ADMIN)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with running_stage(tmp_path) as running:
        yield running


def automation(stage: Stage) -> KubeClient:
    """The automation's client, through the gateway."""
    return KubeClient(load_kubeconfig(stage.kubeconfig))


async def pods(stage: Stage) -> set[str]:
    await stage.settled()
    return {pod["metadata"]["name"] for pod in (await stage.kube.list("pods", "shop"))["items"]}


async def test_in_canary_only_its_share_of_the_targets_is_touched(stage: Stage) -> None:
    names = [f"fleet-{number}" for number in range(8)]
    for name in names:
        asleep = copy.deepcopy(WORKER)
        asleep["metadata"]["name"] = name
        asleep["spec"]["replicas"] = 0
        await stage.kube.create("deployments", asleep)
    buckets = {name: bucket("automation", "apps", "deployments", "shop", name) for name in names}
    percent = sorted(buckets.values())[2] + 0.01
    await stage.control(mode="canary", canaryPercent=str(percent))
    async with automation(stage) as client:
        for name in names:
            answer = await client.patch("deployments", name, {"spec": {"paused": True}}, "shop")
            assert answer["spec"]["paused"] is True, "in shadow, too, it is shown what it would have done"
    found = (await stage.kube.list("deployments", "shop"))["items"]
    touched = {item["metadata"]["name"] for item in found if item["spec"].get("paused")}
    assert touched == {name for name in names if buckets[name] < percent}
    assert len(touched) == 3
    assert len(stage.intents()) == 5


async def test_a_second_eviction_in_shadow_meets_the_budget_that_the_first_would_have_used(
    stage: Stage,
) -> None:
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "worker"}}}
    made = {"metadata": {"name": "worker"}, "spec": budget}
    await stage.kube.create("poddisruptionbudgets", made, "shop")
    first, second = await pods(stage)
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    for name in (first, second):
        await stage.kube.patch("pods", name, {"status": ready}, "shop", subresource="status")
    await stage.budget_allows("worker", 1)
    async with automation(stage) as client:
        await evict(client, first)
        with pytest.raises(StatusError) as spent:
            await evict(client, second)
    assert spent.value.code == 429
    assert await pods(stage) == {first, second}


async def evict(client: KubeClient, name: str) -> None:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    await client.create("pods", eviction, "shop", name=name, subresource="eviction")


@pytest.mark.slow
async def test_what_cannot_be_taken_back_needs_a_dry_run_and_an_approval_that_is_good_once(
    tmp_path: Path,
) -> None:
    async with running_pager() as pager, running_stage(tmp_path, pager_url=pager, admin_token=ADMIN) as stage:
        first, second = await pods(stage)
        risk = json.dumps({"enforce": True, "rules": [EVERY_DELETE]})
        await stage.control(mode="live", risk=risk)
        async with automation(stage) as client:
            assert await causes(client, first) == ["DryRunMissing", "ApprovalMissing"]
            await client.request("DELETE", f"/api/v1/namespaces/shop/pods/{first}", query={"dryRun": "All"})
            assert await causes(client, first) == ["ApprovalMissing"]
            await approve(pager, first)
            assert await causes(client, second) == ["DryRunMissing", "ApprovalMissing"], "not this one"
            await client.delete("pods", first, "shop", grace_period_seconds=0)
            assert first not in await pods(stage)
            records = [record for record in stage.gateway.book.read() if record["approval"]]
            assert [(record["name"], record["decision"]) for record in records] == [(first, "allowed")]


async def causes(client: KubeClient, name: str) -> list[str]:
    """Why a pod is not deleted."""
    with pytest.raises(StatusError) as caught:
        await client.delete("pods", name, "shop")
    assert caught.value.code == 403
    return [cause["reason"] for cause in (caught.value.details or {}).get("causes", ())]


async def approve(pager: str, name: str) -> None:
    deed: dict[str, Any] = {"verb": "delete", "group": "", "resource": "pods", "subresource": ""}
    asked = deed | {"namespace": "shop", "name": name, "by": "automation", "reason": "it hangs"}
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with aiohttp.ClientSession(pager, headers=headers) as person:
        async with person.post("/api/v1/approvals", json=asked) as answer:
            assert answer.status == 201, await answer.text()
            identity = (await answer.json())["id"]
        async with person.post(f"/api/v1/approvals/{identity}/approve", json={"by": "ann"}) as answer:
            assert answer.status == 200, await answer.text()
