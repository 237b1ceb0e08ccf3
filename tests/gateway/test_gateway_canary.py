"""Canary mode: a stable share of the targets is live, every other one is exactly shadow."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest
import yaml
from gateway_rig import TOKEN, running_rig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_requests import BODIES, requests

from lab.core.audit import Mode
from lab.gateway.control import read_state
from lab.gateway.membership import acting_mode, bucket, is_member
from lab.gateway.target import read_target

POD = "/api/v1/namespaces/shop/pods/worker-1"
PERCENT = 40.0
AUTH = {"Authorization": f"Bearer {TOKEN}"}


def spelled_out(resource: str, namespace: str, name: str, actor: str = "automation") -> float:
    """The bucket as the contract writes it, without the code under test."""
    text = f"{actor}\0{resource}\0{namespace}\0{name}"
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10_000 / 100


def pods(inside: bool, percent: float = PERCENT, count: int = 1) -> list[str]:
    """Names of pods inside or outside the canary."""
    found = (f"worker-{n}" for n in range(10_000))
    chosen = (name for name in found if (spelled_out("pods", "shop", name) < percent) is inside)
    return [next(chosen) for _ in range(count)]


def test_the_bucket_is_what_the_contract_says() -> None:
    assert bucket("automation", "", "pods", "shop", "w") == spelled_out("pods", "shop", "w")
    assert bucket("a", "apps", "deployments", "n", "w") == spelled_out("deployments.apps", "n", "w", "a")
    assert bucket("a", "events.k8s.io", "events", "n", "w") == spelled_out("events", "n", "w", "a")


def test_ten_percent_is_about_ten_percent_and_inside_of_fifty() -> None:
    targets = [read_target("DELETE", f"/api/v1/namespaces/shop/pods/worker-{n}") for n in range(2000)]

    def members(percent: float) -> set[str]:
        return {t.path for t in targets if is_member("automation", t, b"", "", percent)}

    assert members(0) == set()
    assert members(10) < members(50) < members(100) == {t.path for t in targets}
    assert 150 < len(members(10)) < 250
    assert 900 < len(members(50)) < 1100


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("POST", "/api/v1/namespaces/shop/configmaps", b'{"metadata":{"name":"c"}}', "c"),
        ("POST", "/api/v1/namespaces/shop/configmaps", b'{"metadata":{"generateName":"c"}}', ""),
        ("POST", "/api/v1/namespaces/shop/configmaps", b'{"metadata":{"name":"c"},"metadata":{}}', ""),
        ("POST", "/api/v1/namespaces/shop/configmaps", b'{"metadata":{"name":"a","name":"c"}}', ""),
        ("POST", "/api/v1/namespaces/shop/configmaps", b'{"metadata":{"name":"a"},"Metadata":{}}', ""),
        ("POST", "/api/v1/namespaces/shop/configmaps", b'{"metadata":{"Name":"c"}}', ""),
        ("POST", "/api/v1/namespaces/shop/configmaps", b'{"metadata":{"name":7}}', ""),
        ("POST", "/api/v1/namespaces/shop/configmaps", b"metadata: {name: c}", ""),
        ("DELETE", "/api/v1/namespaces/shop/configmaps?fieldSelector=metadata.name%3Dc", b"", ""),
        ("GET", "/api/v1/namespaces/shop/services/https:c:443/proxy/x", b"", "c"),
        ("GET", "/api/v1/namespaces/shop/services/c:443/proxy/x", b"", "c"),
        ("GET", "/api/v1/namespaces/shop/services/a:b:c:d/proxy", b"", ""),
    ],
)
def test_the_name_that_counts(method: str, path: str, body: bytes, name: str) -> None:
    target = read_target(method, path)
    resource = target.info.resource
    for percent in range(0, 100, 5):
        wanted = bool(name) and spelled_out(resource, "shop", name) < percent
        assert is_member("automation", target, body, "application/json", percent) is wanted
    assert is_member("automation", target, body, "application/json", 100)


def test_other_modes_do_not_ask() -> None:
    target = read_target("DELETE", POD)
    assert acting_mode("a", target, b"", "", Mode.SHADOW, 100) is Mode.SHADOW
    assert acting_mode("a", target, b"", "", Mode.LIVE, 0) is Mode.LIVE


@pytest.mark.parametrize("percent", ["-1", "101", "ten", "nan", "inf", " "])
def test_a_percentage_that_is_none_means_stop(percent: str) -> None:
    state = read_state({"mode": "canary", "canaryPercent": percent})
    assert (state.stopped, state.readable) == (True, False)
    assert "canaryPercent" in state.reason


def test_the_default_is_ten_percent() -> None:
    assert read_state({"mode": "canary"}).canary_percent == 10


async def test_members_act_and_the_others_are_shadow(rig: Any) -> None:
    (member,), (outsider,) = pods(inside=True), pods(inside=False)
    rig.api.control = {"mode": "canary", "canaryPercent": str(PERCENT)}
    for name in (member, outsider):
        rig.api.objects[f"/api/v1/namespaces/shop/pods/{name}"] = {"kind": "Pod", "metadata": {"name": name}}
    async with aiohttp.ClientSession(rig.url, headers=AUTH) as client:
        for name in (member, outsider):
            async with client.delete(f"/api/v1/namespaces/shop/pods/{name}") as answer:
                assert answer.status == 200
        async with client.delete("/api/v1/namespaces/shop/pods") as answer:
            assert answer.status == 200
        async with client.post(f"/api/v1/namespaces/shop/pods/{outsider}/exec") as answer:
            assert answer.status == 403
            assert "outside the canary (40 % of targets)" in (await answer.json())["message"]
    assert [entry[1] for entry in rig.api.applied] == [f"/api/v1/namespaces/shop/pods/{member}"]
    found = [(r["name"], r["mode"], r["canary"], r["decision"], r["dry_run"]) for r in rig.records()]
    assert found == [
        (member, "canary", "member", "allowed", False),
        (outsider, "canary", "outside", "shadowed", True),
        ("", "canary", "outside", "shadowed", True),
        (outsider, "canary", "outside", "refused", False),
    ]
    groups = [r.headers["Impersonate-Group"] for r in rig.api.seen if r.method == "DELETE"]
    assert groups == ["toil-lab:live", "toil-lab:shadow", "toil-lab:shadow"]
    assert [r["name"] for r in rig.gateway.book.intents()] == [outsider, ""]


async def test_a_widened_canary_takes_effect_with_the_next_request(rig: Any) -> None:
    (name,) = pods(inside=False)
    async with aiohttp.ClientSession(rig.url, headers=AUTH) as client:
        for percent in ("40", "100", "0"):
            rig.api.control = {"mode": "canary", "canaryPercent": percent}
            await (await client.delete(f"/api/v1/namespaces/shop/pods/{name}")).read()
    assert [r["canary"] for r in rig.records()] == ["outside", "member", "outside"]
    assert len(rig.api.applied) == 1


async def test_a_target_that_left_the_canary_on_its_way_is_refused(rig: Any) -> None:
    (name,) = pods(inside=True)
    path = f"/api/v1/namespaces/shop/pods/{name}"
    rig.api.control = {"mode": "canary", "canaryPercent": str(PERCENT)}

    async def narrowed(request: Any) -> Any:
        rig.api.control = {"mode": "canary", "canaryPercent": "0"}
        await rig.gateway.control.read()
        return aiohttp.web.json_response({"kind": "Pod", "metadata": {"name": name}})

    rig.api.objects[path] = narrowed
    async with aiohttp.ClientSession(rig.url, headers=AUTH) as client, client.delete(path) as answer:
        assert answer.status == 403
        assert "mode changed" in (await answer.json())["message"]
    assert rig.api.mutations == []


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Any, Counter[str]]]:
    with asyncio.Runner() as runner:
        context = running_rig(tmp_path_factory.mktemp("canary"))
        rig = runner.run(context.__aenter__())
        rig.api.may_end.set()
        rig.api.control = {"mode": "canary", "canaryPercent": str(PERCENT), "killSwitch": "off"}
        yield runner, rig, Counter()
        runner.run(context.__aexit__(None, None, None))


def aimed_at(method: str, raw_path: str, body: str) -> tuple[str, str, str]:
    """resource.group, namespace and name of an applied request, read from what the API server got."""
    parts = [part for part in unquote(raw_path.partition("?")[0]).split("/") if part]
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 1 else ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
        rest = rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    if not name and method == "POST":
        loaded = yaml.safe_load(body)
        name = loaded["metadata"]["name"]
    return (f"{rest[0]}.{group}" if group else rest[0]), namespace, name


@settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(request=requests(), number=st.integers(1, 60), named=st.booleans())
def test_nothing_outside_of_the_canary_is_changed(stage: Any, request: Any, number: int, named: bool) -> None:
    runner, rig, acted = stage
    method, target, headers, body = request
    target = target.replace("worker-1", f"worker-{number}")
    if named and body == b"{}":
        body = json.dumps({"metadata": {"name": f"new-{number}"}}).encode()
    rig.api.applied.clear()
    runner.run(rig.raw(method, target, headers, body.replace(b"worker-1", f"worker-{number}".encode())))
    for applied in rig.api.applied:
        acted[applied[0]] += 1
        resource, namespace, name = aimed_at(*applied)
        assert name, applied
        assert spelled_out(resource, namespace, name) < PERCENT, applied


def test_the_same_requests_act_for_members(stage: Any) -> None:
    """Without this the property above would hold of a gateway that only refuses."""
    runner, rig, acted = stage
    (member,) = pods(inside=True)
    named = (json.dumps({"metadata": {"name": f"c{n}"}}).encode() for n in range(10_000))
    config = next(
        body
        for body in named
        if spelled_out("configmaps", "shop", json.loads(body)["metadata"]["name"]) < PERCENT
    )
    headers = [(*pair,) for pair in AUTH.items()]
    for method, path, body in (
        ("DELETE", f"/api/v1/namespaces/shop/pods/{member}", b""),
        ("PATCH", f"/api/v1/namespaces/shop/pods/{member}", b"{}"),
        ("POST", f"/api/v1/namespaces/shop/pods/{member}/eviction", BODIES[13]),
        ("POST", "/api/v1/namespaces/shop/configmaps", config),
    ):
        rig.api.applied.clear()
        assert runner.run(rig.raw(method, path, headers, body)) in (200, 201)
        assert len(rig.api.applied) == 1, (method, path)
    assert sum(acted.values()) > 0
    found = Counter((r["canary"], r["decision"]) for r in rig.records() if r["mutating"])
    assert found["member", "allowed"] > 20
    assert found["outside", "shadowed"] > 20
    acts = {(r["canary"], r["decision"]) for r in rig.records() if r["mutating"] and not r["dry_run"]}
    assert ("outside", "allowed") not in acts
