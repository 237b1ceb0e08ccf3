"""Risk classes, and what an irreversible action needs: a dry run, a restore point, an approval used once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock, TimeScale, rfc3339
from lab.gateway.control import read_state
from lab.gateway.risk import Risk, RiskRules, classify, image_restores, read_risk
from lab.gateway.target import read_target
from lab.pager.server import pager_app

AUTH = {"Authorization": "Bearer secret-of-the-automation"}
POD = "/api/v1/namespaces/shop/pods/worker-1"
CONFIG = "/api/v1/namespaces/shop/configmaps/settings"
CLAIM = "/api/v1/namespaces/shop/persistentvolumeclaims/data"
ENFORCED = json.dumps({"enforce": True})


def deed(path: str, verb: str = "delete", subresource: str = "") -> dict[str, str]:
    _, _, _, _, namespace, resource, name = path.split("/")
    return {
        "verb": verb, "group": "", "resource": resource, "subresource": subresource,
        "namespace": namespace, "name": name,
    }  # fmt: skip


@dataclass
class SmallPager:
    """The part of the pager's approvals that the gateway uses."""

    approvals: dict[str, dict[str, Any]] = field(default_factory=dict)
    delay: float = 0.0

    def approve(self, path: str, *, seconds: float = 60, **more: Any) -> str:
        now, identity = datetime.now(UTC), f"apr-{len(self.approvals) + 1}"
        self.approvals[identity] = {
            "id": identity, "status": "approved", "requestedBy": "automation", "requestedAt": rfc3339(now),
            "reason": "it is full", "restorePoint": "", "incident": None, "decidedBy": "ann", "note": "",
            "decidedAt": rfc3339(now), "expiresAt": rfc3339(now + timedelta(seconds=seconds)), "usedAt": None,
        } | deed(path) | more  # fmt: skip
        return identity

    async def listed(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.delay)
        wanted = request.query.get("status")
        found = [a for a in self.approvals.values() if wanted in (None, a["status"])]
        return web.json_response({"approvals": found})

    async def use(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer admin":
            return web.json_response({}, status=401)
        await asyncio.sleep(self.delay)
        approval = self.approvals[request.match_info["id"]]
        if approval["status"] != "approved":
            return web.json_response({"error": "it was used"}, status=409)
        approval |= {"status": "used", "usedAt": rfc3339(datetime.now(UTC))}
        return web.json_response(approval)


@pytest.fixture
async def pager(rig: Any) -> AsyncIterator[SmallPager]:
    small = SmallPager()
    app = web.Application()
    app.router.add_get("/api/v1/approvals", small.listed)
    app.router.add_post("/api/v1/approvals/{id}/use", small.use)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    rig.gateway.approvals._url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield small
    await runner.cleanup()


@pytest.fixture
async def client(rig: Any) -> AsyncIterator[aiohttp.ClientSession]:
    rig.api.control = {"mode": "live", "risk": ENFORCED}
    for path, kind in ((POD, "Pod"), (CONFIG, "ConfigMap"), (CLAIM, "PersistentVolumeClaim")):
        rig.api.objects[path] = {"kind": kind, "metadata": {"name": path.rpartition("/")[2]}}
    async with aiohttp.ClientSession(rig.url, headers=AUTH) as session:
        yield session


async def delete(client: aiohttp.ClientSession, path: str) -> tuple[int, list[str], str]:
    async with client.delete(path) as answer:
        body = await answer.json()
    causes = [cause["reason"] for cause in (body.get("details") or {}).get("causes", ())]
    return answer.status, causes, body.get("message", "")


async def rehearse(client: aiohttp.ClientSession, path: str) -> None:
    async with client.delete(path, params={"dryRun": "All"}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("method", "path", "risk"),
    [
        ("DELETE", POD, Risk.DISRUPTIVE), ("POST", f"{POD}/eviction", Risk.DISRUPTIVE),
        ("DELETE", "/api/v1/namespaces/shop/pods", Risk.IRREVERSIBLE),
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/w", Risk.DISRUPTIVE),
        ("PUT", "/apis/apps/v1/namespaces/shop/deployments/w/scale", Risk.DISRUPTIVE),
        ("DELETE", "/apis/apps/v1/namespaces/shop/deployments/w", Risk.IRREVERSIBLE),
        ("PATCH", CONFIG, Risk.REVERSIBLE),
        ("PATCH", "/apis/batch/v1/namespaces/shop/cronjobs/b", Risk.REVERSIBLE),
        ("DELETE", CLAIM, Risk.IRREVERSIBLE), ("POST", f"{POD}/exec", Risk.IRREVERSIBLE),
        ("PATCH", "/apis/example.com/v1/things/one", Risk.IRREVERSIBLE),
        ("POST", "/api/v1/namespaces/shop/serviceaccounts/a/token", Risk.IRREVERSIBLE),
    ],
)  # fmt: skip
def test_the_table(method: str, path: str, risk: Risk) -> None:
    assert classify(read_target(method, path).info, RiskRules()) is risk


def test_rules_come_first_and_the_first_that_matches_wins() -> None:
    rules = read_risk(
        json.dumps(
            {
                "rules": [
                    {"verb": "delete", "resource": "pods", "class": "irreversible"},
                    {"resource": "pods", "class": "reversible"},
                    {"group": "example.com", "class": "disruptive"},
                ]
            }
        )
    )
    assert classify(read_target("DELETE", POD).info, rules) is Risk.IRREVERSIBLE
    assert classify(read_target("POST", f"{POD}/exec").info, rules) is Risk.REVERSIBLE
    assert classify(read_target("DELETE", "/apis/example.com/v1/things/a").info, rules) is Risk.DISRUPTIVE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"), ("[]", "not a JSON object"), ('{"enforced": true}', "unknown key"),
        ('{"enforce": "yes"}', "true or false"), ('{"rules": {}}', "must be a list"),
        ('{"rules": [{"class": "risky"}]}', "must be one of"),
        ('{"rules": [{"class": ["x"]}]}', "of strings"),
        ('{"rules": [{"verbs": "delete", "class": "reversible"}]}', "unknown key"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_read_mean_stop(text: str, said: str) -> None:
    state = read_state({"mode": "live", "risk": text})
    assert (state.stopped, state.readable) == (True, False)
    assert said in state.reason


def test_what_the_before_image_can_bring_back() -> None:
    whole = {"kind": "x"}
    assert image_restores(read_target("DELETE", CONFIG).info, whole)
    for path, before in (
        (CONFIG, None), (CONFIG, {"cut": "large"}), (CLAIM, whole), ("/api/v1/namespaces/shop", whole),
        ("/api/v1/namespaces/shop/secrets/db", whole), ("/api/v1/namespaces/shop/pods", whole),
    ):  # fmt: skip
        assert not image_restores(read_target("DELETE", path).info, before), path


async def test_every_mutation_has_its_class_in_the_record(rig: Any, client: aiohttp.ClientSession) -> None:
    rig.api.control = {"mode": "live"}
    assert (await delete(client, POD))[0] == 200
    assert (await delete(client, CLAIM))[0] == 200  # nothing is enforced
    assert (await client.get(POD)).status == 200
    rig.api.control = {"mode": "shadow", "risk": ENFORCED}
    assert (await delete(client, CLAIM))[0] == 200
    assert (await client.post(f"{POD}/exec")).status == 403
    found = [r["risk"] for r in rig.records()]
    assert found == ["disruptive", "irreversible", "", "irreversible", "irreversible"]


async def test_a_refusal_says_what_is_missing_and_how_to_get_it(
    rig: Any, client: aiohttp.ClientSession, pager: SmallPager
) -> None:
    code, causes, message = await delete(client, CLAIM)
    assert (code, causes) == (403, ["DryRunMissing", "ApprovalMissing", "RestorePointMissing"])
    for part in ("dryRun=All", "POST /api/v1/approvals", "by 'automation'", "name 'data'", "restorePoint"):
        assert part in message
    await rehearse(client, CLAIM)
    assert (await delete(client, CLAIM))[1] == ["ApprovalMissing", "RestorePointMissing"]
    pager.approve(CLAIM)
    assert (await delete(client, CLAIM))[1] == ["RestorePointMissing"]
    identity = pager.approve(CLAIM, restorePoint="snapshot 7")
    pager.approvals["apr-1"]["status"] = "expired"
    assert (await delete(client, CLAIM))[:2] == (200, [])
    assert pager.approvals[identity]["status"] == "used"
    record = rig.records()[-1]
    assert (record["risk"], record["approval"], record["decision"]) == ("irreversible", identity, "allowed")
    assert (await delete(client, CLAIM))[1] == ["ApprovalMissing", "RestorePointMissing"]  # it was good once
    assert len(rig.api.applied) == 1


async def test_the_gateway_s_own_image_is_a_restore_point_for_an_object(
    rig: Any, client: aiohttp.ClientSession, pager: SmallPager
) -> None:
    await rehearse(client, CONFIG)
    pager.approve(CONFIG)
    assert (await delete(client, CONFIG))[0] == 200


async def test_an_intent_of_shadow_is_the_dry_run(
    rig: Any, client: aiohttp.ClientSession, pager: SmallPager
) -> None:
    rig.api.control = {"mode": "shadow", "risk": ENFORCED}
    assert (await delete(client, CONFIG))[0] == 200
    rig.api.control = {"mode": "live", "risk": ENFORCED}
    pager.approve(CONFIG)
    assert (await delete(client, CONFIG))[0] == 200
    assert len(rig.api.applied) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"requestedBy": "somebody"}, {"verb": "update"}, {"name": "other"}, {"namespace": "other"},
        {"subresource": "status"}, {"status": "pending"}, {"status": "refused"}, {"status": "used"},
        {"seconds": -1}, {"usedAt": "2026-01-01T00:00:00Z"},
    ],
    ids=str,
)  # fmt: skip
async def test_an_approval_of_anything_else_is_none(
    rig: Any, client: aiohttp.ClientSession, pager: SmallPager, other: dict[str, Any]
) -> None:
    await rehearse(client, CONFIG)
    pager.approve(CONFIG, **other)
    assert (await delete(client, CONFIG))[:2] == (403, ["ApprovalMissing"])
    assert rig.api.applied == []


async def test_one_approval_lets_one_of_many_through(
    rig: Any, client: aiohttp.ClientSession, pager: SmallPager
) -> None:
    await rehearse(client, CONFIG)
    pager.approve(CONFIG)
    pager.delay = 0.05
    codes = [code for code, _, _ in await asyncio.gather(*(delete(client, CONFIG) for _ in range(10)))]
    assert sorted(codes) == [200] + [403] * 9
    assert len(rig.api.applied) == 1


async def test_the_real_pager_s_approval_is_good_once(rig: Any, client: aiohttp.ClientSession) -> None:
    app = pager_app(clock=SystemClock(), scale=TimeScale(), registry=CollectorRegistry(), admin_token="admin")
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    rig.gateway.approvals._url = url
    admin = {"Authorization": "Bearer admin"}
    wanted = deed(CLAIM) | {"by": "automation", "reason": "it is full", "restorePoint": "snapshot 7"}
    try:
        await rehearse(client, CLAIM)
        async with aiohttp.ClientSession() as person:
            async with person.post(f"{url}/api/v1/approvals", json=wanted) as answer:
                assert answer.status == 201
                identity = (await answer.json())["id"]
            assert (await delete(client, CLAIM))[1] == ["ApprovalMissing", "RestorePointMissing"]
            path = f"{url}/api/v1/approvals/{identity}"
            async with person.post(f"{path}/approve", json={"by": "ann"}, headers=admin) as answer:
                assert answer.status == 200
            codes = [c for c, _, _ in await asyncio.gather(*(delete(client, CLAIM) for _ in range(5)))]
            assert sorted(codes) == [200] + [403] * 4
            async with person.get(path) as answer:
                assert (await answer.json())["status"] == "used"
    finally:
        await runner.cleanup()
    assert [r["approval"] for r in rig.records() if r["decision"] == "allowed"] == ["", identity]


async def test_a_pager_that_is_away_refuses(rig: Any, client: aiohttp.ClientSession) -> None:
    await rehearse(client, CONFIG)
    code, causes, message = await delete(client, CONFIG)
    assert (code, causes) == (403, ["ApprovalMissing"])
    assert "no pager" in message
    rig.gateway.approvals._url = "http://127.0.0.1:9"
    assert "did not answer" in (await delete(client, CONFIG))[2]
    assert (await delete(client, POD))[0] == 200  # what is not irreversible does not need it


async def test_what_has_no_dry_run_is_never_covered(
    rig: Any, client: aiohttp.ClientSession, pager: SmallPager
) -> None:
    pager.approve(POD, verb="create", subresource="exec", restorePoint="none needed")
    async with client.post(f"{POD}/exec") as answer:
        body = await answer.json()
    assert answer.status == 403
    assert [cause["reason"] for cause in body["details"]["causes"]] == ["DryRunMissing"]
    assert "exec does not have" in body["message"]
    assert rig.api.mutations == []


async def test_a_spent_budget_spends_no_approval(
    rig: Any, client: aiohttp.ClientSession, pager: SmallPager
) -> None:
    budgets = json.dumps({"enforce": True, "actionsPerLabHour": 0})
    await rehearse(client, CONFIG)
    identity = pager.approve(CONFIG)
    rig.api.control = {"mode": "live", "risk": ENFORCED, "budgets": budgets}
    assert (await delete(client, CONFIG))[0] == 429
    assert pager.approvals[identity]["status"] == "approved"
