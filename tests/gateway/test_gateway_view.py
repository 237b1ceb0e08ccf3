"""Reads that show the world as intended: to those who ask, in shadow, for the settle time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

NAMESPACE = "/api/v1/namespaces/shop"
PODS = f"{NAMESPACE}/pods"
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/worker"
AUTH = {"Authorization": "Bearer secret-of-the-automation"}


def pod(name: str, uid: str = "") -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "uid": uid or f"u-{name}", "labels": {"app": "worker"}}
    return {"kind": "Pod", "metadata": metadata}


@pytest.fixture
async def client(rig: Any) -> AsyncIterator[aiohttp.ClientSession]:
    rig.api.objects |= {f"{PODS}/{name}": pod(name) for name in ("w-1", "w-2")}
    rig.api.objects[PODS] = {"kind": "PodList", "items": [pod("w-1"), pod("w-2")]}
    rig.api.objects[DEPLOYMENT] = {
        "kind": "Deployment",
        "metadata": {"name": "worker", "namespace": "shop", "uid": "d", "resourceVersion": "5"},
        "spec": {"replicas": 8, "paused": False},
    }
    rig.api.objects[f"{DEPLOYMENT}/scale"] = {
        "kind": "Scale",
        "metadata": {"name": "worker", "namespace": "shop", "uid": "d"},
        "spec": {"replicas": 8},
    }
    async with aiohttp.ClientSession(rig.url, headers=AUTH) as session:
        yield session


async def get(client: aiohttp.ClientSession, path: str, intended: bool = True) -> tuple[int, Any]:
    async with client.get(("/view/intended" if intended else "") + path) as answer:
        return answer.status, await answer.json()


async def names(client: aiohttp.ClientSession, path: str = PODS, intended: bool = True) -> list[str]:
    _, listed = await get(client, path, intended)
    return [item["metadata"]["name"] for item in listed["items"]]


async def test_a_deleted_pod_is_absent_for_who_asks(rig: Any, client: aiohttp.ClientSession) -> None:
    assert (await client.delete(f"{PODS}/w-1")).status == 200
    code, body = await get(client, f"{PODS}/w-1")
    assert (code, body["kind"], body["reason"]) == (404, "Status", "NotFound")
    assert await names(client) == ["w-2"]
    assert (await get(client, f"{PODS}/w-1", intended=False))[0] == 200
    assert await names(client, intended=False) == ["w-1", "w-2"]
    assert all("/view/" not in seen.raw_path for seen in rig.api.seen)


async def test_an_eviction_and_a_collection_too(client: aiohttp.ClientSession) -> None:
    assert (await client.post(f"{PODS}/w-1/eviction", json={"kind": "Eviction"})).status == 201
    assert await names(client) == ["w-2"]
    assert (await client.delete(f"/view/intended{PODS}")).status == 200
    assert await names(client) == []


async def test_a_pod_of_the_same_name_that_came_later_is_shown(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    await client.delete(f"{PODS}/w-1")
    rig.api.objects[f"{PODS}/w-1"] = pod("w-1", "another")
    rig.api.objects[PODS] = {"items": [pod("w-1", "another")]}
    assert (await get(client, f"{PODS}/w-1"))[0] == 200
    assert await names(client) == ["w-1"]


async def test_changes_lie_over_what_is_stored_now(rig: Any, client: aiohttp.ClientSession) -> None:
    await client.patch(f"{DEPLOYMENT}/scale", json={"spec": {"replicas": 3}})
    await client.patch(DEPLOYMENT, json={"spec": {"paused": True}})
    rig.api.objects[DEPLOYMENT]["metadata"]["labels"] = {"changed": "meanwhile"}
    _, shown = await get(client, DEPLOYMENT)
    assert shown["spec"] == {"replicas": 3, "paused": True}
    assert shown["metadata"]["labels"] == {"changed": "meanwhile"}
    assert shown["metadata"]["resourceVersion"] == "5"
    _, scale = await get(client, f"{DEPLOYMENT}/scale")
    assert scale["spec"] == {"replicas": 3}
    assert (await get(client, DEPLOYMENT, intended=False))[1]["spec"] == {"replicas": 8, "paused": False}


async def test_what_would_be_new_can_be_read_back(rig: Any, client: aiohttp.ClientSession) -> None:
    new = {"kind": "ConfigMap", "metadata": {"name": "new", "labels": {"a": "b"}}, "data": {"k": "v"}}
    rig.api.objects[f"{NAMESPACE}/configmaps"] = {"kind": "ConfigMapList", "items": []}
    async with client.post(f"{NAMESPACE}/configmaps", json=new) as answer:
        assert answer.status == 201
    path = f"{NAMESPACE}/configmaps"
    assert (await get(client, f"{path}/new"))[1]["data"] == {"k": "v"}
    assert await names(client, path) == ["new"]
    assert await names(client, f"{path}?labelSelector=a%3Db") == ["new"]
    assert await names(client, f"{path}?labelSelector=a%3Dc") == []
    assert (await get(client, f"{path}/other"))[0] == 404


async def test_a_change_is_shown_in_the_version_that_it_was_made_in(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    old, new = (
        f"/apis/autoscaling/{version}/namespaces/shop/horizontalpodautoscalers/a" for version in ("v1", "v2")
    )
    for path in (old, new):
        metadata = {"name": "a", "namespace": "shop", "uid": "h"}
        rig.api.objects[path] = {"kind": "X", "metadata": metadata, "spec": {"maxReplicas": 2}}
    await client.patch(old, json={"spec": {"targetCPUUtilizationPercentage": 9}})
    assert (await get(client, old))[1]["spec"] == {"maxReplicas": 2, "targetCPUUtilizationPercentage": 9}
    assert (await get(client, new))[1]["spec"] == {"maxReplicas": 2}
    await client.delete(new)
    assert (await get(client, old))[0] == 404


async def test_other_modes_other_actors_and_watches_see_what_is(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    await client.delete(f"{PODS}/w-1")
    (rig.folder / "clients" / "other").write_text("token-of-the-other")

    async with aiohttp.ClientSession(
        rig.url, headers={"Authorization": "Bearer token-of-the-other"}
    ) as other:
        async with asyncio.timeout(5):
            while (await get(other, PODS))[0] == 401:
                await asyncio.sleep(0.05)
        assert await names(other) == ["w-1", "w-2"]
    rig.api.may_end.set()
    async with client.get(f"/view/intended{PODS}?watch=true") as answer:
        assert await answer.content.readline() == b'{"type":"ADDED"}\n'
    rig.api.control = {"mode": "live"}
    await rig.gateway.control.read()
    assert await names(client) == ["w-1", "w-2"]


async def test_other_encodings_pass_as_they_are(rig: Any, client: aiohttp.ClientSession) -> None:
    async def table(request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["Accept"] == "application/vnd.kubernetes.protobuf"
        return web.Response(body=b"k8s\x00", content_type="application/vnd.kubernetes.protobuf")

    await client.delete(f"{PODS}/w-1")
    rig.api.objects[PODS] = table
    headers = {"Accept": "application/vnd.kubernetes.protobuf"}
    async with client.get(f"/view/intended{PODS}", headers=headers) as answer:
        assert await answer.read() == b"k8s\x00"


async def test_an_intent_is_shown_for_the_settle_time(rig: Any, client: aiohttp.ClientSession) -> None:
    intents = rig.gateway.intents
    await client.delete(f"{PODS}/w-1")
    assert await names(client) == ["w-2"]
    assert intents._settle == 5.0
    intents._settle = 0.05
    await client.delete(f"{PODS}/w-2")
    async with asyncio.timeout(5):
        while await names(client) != ["w-2"]:
            await asyncio.sleep(0.01)


async def test_forging_the_view_changes_nothing_but_the_view(rig: Any, client: aiohttp.ClientSession) -> None:
    """The prefix is no way around: mutations behind it are decided and recorded as without it."""
    async with client.delete(f"/view/intended{PODS}/w-1") as answer:
        assert answer.status == 200
    async with client.post(f"/view/intended{PODS}/w-1/exec") as answer:
        assert answer.status == 403
    async with client.get("/view/intended/view/intended/api") as answer:
        assert answer.status == 404
    assert rig.api.applied == []
    first = rig.records()[0]
    assert (first["decision"], first["resource"], first["name"]) == ("shadowed", "pods", "w-1")
    assert first["before"]["metadata"]["name"] == "w-1"
