"""Budgets of actions: reading them, reporting, enforcing, counting across a restart and under concurrency."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lab.core.clock import SystemClock, TimeScale
from lab.gateway.budgets import read_budgets
from lab.gateway.control import read_state
from lab.gateway.disruption import Workload, disruptions, workload_of
from lab.gateway.ledger import Ledger
from lab.kube.request import parse_request

AUTH = {"Authorization": "Bearer secret-of-the-automation"}
PODS = "/api/v1/namespaces/shop/pods"
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/worker"


def pod(name: str) -> dict[str, Any]:
    owner = {"kind": "ReplicaSet", "name": "worker-abc", "controller": True}
    labels = {"app": "worker", "pod-template-hash": "abc"}
    metadata = {"name": name, "namespace": "shop", "uid": f"u-{name}", "labels": labels}
    return {"kind": "Pod", "metadata": metadata | {"ownerReferences": [owner]}}


def deployment(replicas: int) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "worker", "namespace": "shop"},
        "spec": {"replicas": replicas},
    }


def allow(rig: Any, mode: str = "live", **budgets: Any) -> None:
    rig.api.control = {"mode": mode, "budgets": json.dumps({"enforce": True} | budgets)}


@pytest.fixture
async def client(rig: Any) -> AsyncIterator[aiohttp.ClientSession]:
    for number in range(60):
        rig.api.objects[f"{PODS}/w-{number}"] = pod(f"w-{number}")
    rig.api.objects[DEPLOYMENT] = deployment(8)
    async with aiohttp.ClientSession(rig.url, headers=AUTH) as session:
        yield session


async def delete(client: aiohttp.ClientSession, number: int) -> tuple[int, dict[str, Any], str]:
    async with client.delete(f"{PODS}/w-{number}") as answer:
        return answer.status, await answer.json(), answer.headers.get("Retry-After", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"), ("[]", "not a JSON object"), ('{"actionPerLabHour": 3}', "unknown key"),
        ('{"enforce": 1}', "enforce"), ('{"actionsPerLabHour": -1}', "whole number"),
        ('{"actionsPerLabHour": true}', "whole number"), ('{"shareOfWorkload": 1.5}', "from 0 to 1"),
        ('{"shareOfWorkload": NaN}', "from 0 to 1"), ('{"cooldownLabMinutes": "5"}', "number"),
        ('{"kinds": "pods"}', "list of names"), ('{"namespaces": [""]}', "list of names"),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_read_means_stop(text: str, said: str) -> None:
    state = read_state({"mode": "live", "budgets": text})
    assert (state.stopped, state.readable) == (True, False)
    assert said in state.reason


def test_every_problem_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"enforce.*concurrentDisruptions"):
        read_budgets('{"enforce": 1, "concurrentDisruptions": 0.5}')


async def test_an_hour_s_actions_end_in_a_429_of_their_own(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, actionsPerLabHour=2)
    answers = [await delete(client, number) for number in range(3)]
    assert [code for code, _, _ in answers] == [200, 200, 429]
    _, body, retry_after = answers[2]
    (cause,) = body["details"]["causes"]
    assert (body["kind"], body["reason"]) == ("Status", "TooManyRequests")
    assert (cause["reason"], cause["field"]) == ("AutomationBudget", "actionsPerLabHour")
    assert "2 of 2 actions" in cause["message"]
    assert 50 <= int(retry_after) <= 60
    assert body["details"]["retryAfterSeconds"] == int(retry_after)
    assert len(rig.api.applied) == 2
    last = rig.records()[-1]
    assert (last["decision"], last["code"]) == ("refused", 429)
    assert last["budget"].startswith("actionsPerLabHour: ")


async def test_without_enforcement_it_is_only_reported(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, enforce=False, actionsPerLabHour=1)
    assert [(await delete(client, number))[0] for number in range(2)] == [200, 200]
    assert [bool(r["budget"]) for r in rig.records()] == [False, True]
    assert len(rig.api.applied) == 2


async def test_shadow_reports_as_if_it_had_acted(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, mode="shadow", actionsPerLabHour=2)
    assert [(await delete(client, number))[0] for number in range(4)] == [200] * 4
    assert [bool(r["budget"]) for r in rig.records()] == [False, False, True, True]
    assert {r["decision"] for r in rig.records()} == {"shadowed"}
    allow(rig, mode="live", actionsPerLabHour=2)
    assert (await delete(client, 5))[0] == 200  # what was only intended uses up nothing
    assert rig.gateway.ledger.acted.actions == 1


async def test_fifty_at_once_never_exceed_the_limit(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, actionsPerLabHour=7)
    rig.api.delay = 0.02
    codes = [code for code, _, _ in await asyncio.gather(*(delete(client, n) for n in range(50)))]
    assert (codes.count(200), codes.count(429)) == (7, 43)
    assert len(rig.api.applied) == 7


async def test_an_action_that_fails_gives_its_place_back(rig: Any, client: aiohttp.ClientSession) -> None:
    async def gone(request: Any) -> Any:
        return aiohttp.web.json_response({"kind": "Status", "code": 404}, status=404)

    allow(rig, actionsPerLabHour=1)
    rig.api.objects[f"{PODS}/w-1"] = gone
    assert [(await delete(client, n))[0] for n in (1, 1, 2, 3)] == [404, 404, 200, 429]


async def test_a_stream_is_an_action_unless_it_does_not_open(rig: Any, client: aiohttp.ClientSession) -> None:
    async def missing(request: Any) -> Any:
        return aiohttp.web.json_response({"kind": "Status", "code": 404, "reason": "NotFound"}, status=404)

    allow(rig, actionsPerLabHour=1)
    rig.api.objects[f"{PODS}/w-1/exec"] = missing
    for _ in range(2):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(f"{PODS}/w-1/exec")
        assert refused.value.status == 404
        assert (await client.post(f"{PODS}/w-1/exec")).status == 404
    assert rig.gateway.ledger.acted.actions == 0
    assert (await client.post(f"{PODS}/w-2/proxy")).status == 200
    assert (await client.post(f"{PODS}/w-2/proxy")).status == 429


async def test_the_client_s_own_dry_runs_cost_nothing(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, actionsPerLabHour=1)
    for _ in range(3):
        assert (await client.delete(f"{PODS}/w-1?dryRun=All")).status == 200
    assert (await delete(client, 1))[0] == 200


async def test_disruptions_and_shares_of_a_workload(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, concurrentDisruptions=2)
    answers = [await delete(client, number) for number in (1, 2, 1, 3)]
    assert [code for code, _, _ in answers] == [200, 200, 200, 429]  # the same pod goes only once
    assert answers[3][1]["details"]["causes"][0]["field"] == "concurrentDisruptions"
    assert 1 <= int(answers[3][2]) <= 5
    allow(rig, shareOfWorkload=0.25)
    rig.api.objects[DEPLOYMENT] = deployment(12)
    assert [(await delete(client, number))[0] for number in (4, 5)] == [200, 429]
    assert "4 of 12 pods of deployments shop/worker" in rig.records()[-1]["budget"]


async def test_scaling_down_takes_pods_away_up_does_not(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, shareOfWorkload=0.5)
    codes = []
    for replicas in (12, 5, 0):
        async with client.patch(DEPLOYMENT, json={"spec": {"replicas": replicas}}) as answer:
            codes.append(answer.status)
            body = await answer.json()
    assert codes == [200, 200, 429]
    assert "retryAfterSeconds" not in body["details"]  # alone it is too much: waiting does not help
    assert len(rig.api.applied) == 2


async def test_a_target_cools_down(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, cooldownLabMinutes=10)
    answers = [await delete(client, number) for number in (1, 2, 1)]
    assert [code for code, _, _ in answers] == [200, 200, 429]
    assert 9 <= int(answers[2][2]) <= 10


async def test_kinds_and_namespaces_are_403(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, kinds=["Deployment"])
    code, body, _ = await delete(client, 1)
    assert (code, body["reason"]) == (403, "Forbidden")
    assert body["details"]["causes"][0] == {
        "reason": "AutomationBudget",
        "field": "kinds",
        "message": "kinds: pods is not among Deployment",
    }
    allow(rig, kinds=["pods"], namespaces=["other"])
    assert (await delete(client, 1))[0] == 403
    allow(rig, kinds=["pods"], namespaces=["shop"])
    assert (await delete(client, 1))[0] == 200
    async with client.get(DEPLOYMENT) as answer:
        assert answer.status == 200


async def test_the_counts_survive_a_restart(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, actionsPerLabHour=100)
    for number in (1, 2):
        await delete(client, number)
    async with client.patch(DEPLOYMENT, json={"spec": {"replicas": 6}}) as answer:
        assert answer.status == 200
    clock = SystemClock()
    again = Ledger(clock, TimeScale(60), 5)
    again.recall(rig.gateway.book.recent(clock.now(), 60))
    before = rig.gateway.ledger
    assert (again.acted.actions, again.acted.away) == (before.acted.actions, before.acted.away) == (3, 4)
    assert again.acted.shares() == before.acted.shares() == {Workload("deployments", "shop", "worker"): 4}


async def test_a_restarted_gateway_goes_on_counting(tmp_path: Path) -> None:
    from lab.gateway.app import build
    from lab.gateway.settings import GatewaySettings
    from lab.kube.kubeconfig import Connection

    settings = GatewaySettings(clients=tmp_path, audit_file=tmp_path / "audit.jsonl")
    clock = SystemClock()
    for expected in (0, 3):
        gateway = build(settings, Connection("http://127.0.0.1:9"), clock)
        assert gateway.ledger.acted.actions == expected
        for number in range(3):
            gateway.book.append(**_record(clock, f"w-{number}"))
        await gateway.close()


def _record(clock: SystemClock, name: str) -> dict[str, Any]:
    from lab.core.audit import Decision, Mode
    from lab.core.clock import rfc3339

    return {
        "time": rfc3339(clock.now()), "actor": "a", "mode": Mode.LIVE, "verb": "delete", "group": "",
        "resource": "pods", "subresource": "", "namespace": "shop", "name": name, "mutating": True,
        "decision": Decision.ALLOWED, "code": 200, "latency_ms": 1.0, "before": pod(name),
    }  # fmt: skip


async def test_metrics_say_use_and_limit(rig: Any, client: aiohttp.ClientSession) -> None:
    allow(rig, actionsPerLabHour=5, shareOfWorkload=0.5)
    await delete(client, 1)
    following = asyncio.create_task(rig.gateway.follow(SystemClock()))
    value = rig.gateway.measures.registry.get_sample_value
    async with asyncio.timeout(5):
        while value("toil_budget_used", {"budget": "actionsPerLabHour"}) != 1:
            await asyncio.sleep(0.01)
    following.cancel()
    assert value("toil_budget_limit", {"budget": "actionsPerLabHour"}) == 5
    assert value("toil_budget_used", {"budget": "shareOfWorkload"}) == 1 / 8
    assert value("toil_budget_limit", {"budget": "concurrentDisruptions"}) is None


@pytest.mark.parametrize(
    ("before", "diff", "count"),
    [
        ({"spec": {"replicas": 4}}, [{"op": "replace", "path": "/spec/replicas", "value": 1}], 3),
        ({"spec": {"replicas": 4}}, [{"op": "replace", "path": "/metadata/labels", "value": {}}], 0),
        ({"spec": {"replicas": 4, "strategy": {"type": "Recreate"}}}, [{"path": "/spec/template/x"}], 4),
        (
            {"spec": {"replicas": 8, "strategy": {"rollingUpdate": {"maxUnavailable": "25%"}}}},
            [{"path": "/spec/template/x"}],
            2,
        ),
        (
            {"spec": {"replicas": 2, "strategy": {"rollingUpdate": {"maxUnavailable": "25%"}}}},
            [{"path": "/spec/template/x"}],
            0,
        ),
        ({}, [], 0),
    ],
)
def test_what_a_change_of_a_deployment_takes_away(before: Any, diff: Any, count: int) -> None:
    found = disruptions(parse_request("PATCH", DEPLOYMENT, {}), before, diff)
    assert sum(len(d.pods) for d in found) == count


def test_a_pod_belongs_to_its_deployment() -> None:
    assert workload_of(pod("w")) == Workload("deployments", "shop", "worker")
    assert workload_of({"metadata": {"name": "p", "namespace": "n"}}) == Workload("pods", "n", "p")


async def test_what_is_too_long_ago_is_let_go_in_every_mode() -> None:
    """In live mode nobody asks what shadow would have used, and yet it must not grow."""

    class Minutes(SystemClock):
        passed = 0.0

        def monotonic(self) -> float:
            return self.passed * 60

    clock = Minutes()
    ledger = Ledger(clock, TimeScale(60), 5)
    for minute in range(50):
        clock.passed = float(minute)
        ledger.take("pods/w", (), acts=True)
    assert (ledger.acted.actions, ledger.intended.actions) == (1, 1)
