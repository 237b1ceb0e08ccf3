"""The API over a registry in this process, for what needs to look behind the wire."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from lab.core.clock import SystemClock
from lab.kube.resources import builtin
from lab.localkube.api.app import Api
from lab.localkube.api.bootstrap import bootstrap
from lab.localkube.api.identity import Tokens
from lab.localkube.registry.registry import LocalRegistry, open_registry

ADMIN = {"Authorization": "Bearer admin"}
CONFIG_MAPS = builtin("configmaps")


class Running:
    """A served registry and a client session."""

    def __init__(self, registry: LocalRegistry, session: aiohttp.ClientSession) -> None:
        self.registry = registry
        self.session = session


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Running]:
    clock = SystemClock()
    registry = open_registry(tmp_path, clock=clock, service_range=["127.9.200.1", "127.9.200.2"])
    bootstrap(registry)
    made = Api(registry, clock=clock, tokens=Tokens(b"key", clock), admin_token="admin", server="x:1")
    runner = web.AppRunner(made.application(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(base, headers=ADMIN) as session:
        yield Running(registry, session)
    await runner.cleanup()
    registry.close()


async def test_an_expired_version_is_an_error_event(api: Running) -> None:
    registry = api.registry
    registry._core.store._retained = 10
    registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}})
    for number in range(1100):
        patch = {"data": {"n": str(number)}}
        registry.patch(CONFIG_MAPS, "default", "a", patch, "application/merge-patch+json")
    query = {"watch": "1", "resourceVersion": "5"}
    async with api.session.get("/api/v1/configmaps", params=query) as answer:
        assert answer.status == 200
        event = json.loads(await answer.text())
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_watchers_that_hang_up_are_forgotten(api: Running) -> None:
    watches = api.registry._watches["configmaps"]
    answers = [await api.session.get("/api/v1/configmaps?watch=true") for _ in range(50)]
    assert len(watches) == 50
    for answer in answers:
        answer.close()
    async with asyncio.timeout(5):
        while watches:
            await asyncio.sleep(0.01)


async def test_a_table_watch_sends_rows_and_bookmarks_without(api: Running) -> None:
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    query = "watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1"
    url = f"/api/v1/namespaces?{query}&timeoutSeconds=1"
    async with api.session.get(url, headers=accept) as answer:
        events = [json.loads(line) for line in (await answer.read()).splitlines()]
    assert [event["object"]["kind"] for event in events] == ["Table"] * 5
    assert events[0]["object"]["rows"][0]["cells"][:2] == ["default", "Active"]
    assert events[-1]["type"] == "BOOKMARK"
    assert events[-1]["object"]["rows"] == []


async def test_head_and_large_bodies(api: Running) -> None:
    async with api.session.head("/api/v1/namespaces/default") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    async with api.session.post("/api/v1/namespaces", data=io.BytesIO(b" " * 4_000_000)) as answer:
        assert answer.status == 413
        assert (await answer.json())["reason"] == "RequestEntityTooLarge"


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = (
    "/",
    "/api",
    "/api/",
    "/api/v2",
    "/apis/x",
    "/apis/apps/v1beta9/deployments",
    "/openapi/v3/../../etc/passwd",
    "/openapi/v3/apis/nothing/v1",
    "/api/v1/namespaces/default",
    "/api/v1/namespaces/default/finalize",
    "/api/v1/namespaces/default/pods/x/nonsense",
    "/api/v1/namespaces/default/pods/x/exec?command=a&stdout=1",
    "/api/v1/namespaces/default/pods/x/eviction",
    "/api/v1/namespaces/default/pods/x/binding",
    "/api/v1/namespaces/default/services/s/proxy",
    "/api/v1/namespaces/default/configmaps/%2e%2e%2f%2e%2e",
    "/api/v1/namespaces/default/configmaps/%ff%fe",
    "/api/v1/namespaces//configmaps",
    "/api/v1/namespaces/default/serviceaccounts/s/token",
    "/apis/apps/v1/namespaces/default/deployments/d/scale",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    "/apis/authentication.k8s.io/v1/tokenreviews",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/api/v1/watch/namespaces?timeoutSeconds=1&resourceVersion=-1",
    "/api/v1/configmaps?limit=-1&continue=nonsense",
    "/api/v1/configmaps?labelSelector=%00&fieldSelector=,,,",
)
BODIES: tuple[tuple[str, bytes], ...] = (
    ("application/json", b""),
    ("application/json", b"null"),
    ("application/json", b'"text"'),
    ("application/json", b'{"metadata":null,"spec":7,"rules":{"a":1},"target":[]}'),
    ("application/json", b'{"metadata":{"name":5,"labels":[1],"annotations":"x"},"spec":{"token":{}}}'),
    ("application/json", b'{"a":' * 2000 + b"1" + b"}" * 2000),
    ("application/json-patch+json", b'[{"op":"nonsense"}, 3]'),
    ("application/merge-patch+json", b"[]"),
    ("application/strategic-merge-patch+json", b'{"spec":{"$patch":"x","$retainKeys":3}}'),
    ("application/apply-patch+yaml", b"\t: :"),
    ("application/yaml", b"a: &a [*a]"),
    ("application/vnd.kubernetes.protobuf", b"k8s\x00\x0a\x01"),
    ("text/plain; charset=nonsense", b"\x00"),
)


async def test_no_request_is_an_internal_error(api: Running, caplog: pytest.LogCaptureFixture) -> None:
    broken = []
    for method, path, (media, body) in itertools.product(METHODS, PATHS, BODIES):
        if method in ("GET", "OPTIONS") and body:
            continue
        headers: dict[str, Any] = {"Content-Type": media}
        async with api.session.request(method, path, data=body or None, headers=headers) as answer:
            content = await answer.read()
            if answer.status >= 500 and answer.status != 503:
                broken.append((method, path, media, body[:60], answer.status, content[:300]))
    assert not broken, "\n".join(map(str, broken))
