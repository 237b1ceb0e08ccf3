"""The chain end to end over real sockets: identity, shadow, kill switch, audit, streaming."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jsonpatch
import pytest
from aiohttp import web

POD_PATH = "/api/v1/namespaces/shop/pods/worker-1"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "worker-1", "namespace": "shop", "uid": "u1", "labels": {"app": "worker"}},
}
SCALE_PATH = "/apis/apps/v1/namespaces/shop/deployments/worker/scale"
AUTH = {"Authorization": "Bearer secret-of-the-automation"}
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "worker-1"}}


@pytest.fixture
async def client(rig: Any) -> AsyncIterator[aiohttp.ClientSession]:
    rig.api.objects[POD_PATH] = POD
    async with aiohttp.ClientSession(rig.url, headers=AUTH) as session:
        yield session


async def until(condition: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_read_passes_with_the_actor_impersonated(rig: Any, client: aiohttp.ClientSession) -> None:
    async with client.get(POD_PATH) as answer:
        assert (answer.status, await answer.json()) == (200, POD)
    (record,) = rig.records()
    assert (record["verb"], record["resource"], record["name"]) == ("get", "pods", "worker-1")
    assert (record["actor"], record["decision"], record["mutating"]) == ("automation", "allowed", False)
    assert rig.api.seen[-1].headers["Impersonate-User"] == "system:serviceaccount:automation:automation"


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic c2VjcmV0"}]
)
async def test_nobody_gets_in_without_a_token(rig: Any, header: dict[str, str]) -> None:
    async with aiohttp.ClientSession(rig.url) as session, session.get(POD_PATH, headers=header) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (401, "Unauthorized")
    assert rig.api.seen == []
    assert [(r["actor"], r["code"]) for r in rig.records()] == [("system:anonymous", 401)]


async def test_a_rotated_token_takes_effect(rig: Any, client: aiohttp.ClientSession) -> None:
    (rig.folder / "clients" / "automation").write_text("another")

    async def status() -> int:
        async with client.get(POD_PATH) as answer:
            return answer.status

    async with asyncio.timeout(5):
        while await status() != 401:
            await asyncio.sleep(0.05)


async def test_a_shadowed_delete_becomes_a_dry_run_in_query_and_body(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    headers = {"X-Lab-Incident": "INC-7", "X-Lab-Reason": "hung for 4 minutes"}
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 5}
    async with client.delete(POD_PATH, json=options, headers=headers) as answer:
        assert answer.status == 200
    sent = rig.api.seen[-1]
    assert sent.query_string == "dryRun=All"
    assert json.loads(await sent.read()) == options | {"dryRun": ["All"]}
    (record,) = rig.records()
    assert (record["decision"], record["dry_run"], record["mutating"]) == ("shadowed", True, True)
    assert (record["incident"], record["note"]) == ("INC-7", "hung for 4 minutes")
    assert record["before"] == POD
    assert record["diff"] == [{"op": "remove", "path": ""}]
    assert rig.api.applied == []


async def test_the_diff_leads_from_the_stored_object_to_the_new_one(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    scale = {"kind": "Scale", "metadata": {"name": "worker", "resourceVersion": "9"}, "spec": {"replicas": 8}}
    rig.api.objects[SCALE_PATH] = scale
    patch = {"spec": {"replicas": 3}}
    async with client.patch(SCALE_PATH, json=patch) as answer:
        assert (await answer.json())["spec"] == {"replicas": 3}
    (record,) = rig.records()
    assert record["diff"] == [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    assert jsonpatch.apply_patch(record["before"], record["diff"])["spec"] == {"replicas": 3}


async def test_a_created_object_gives_the_record_its_name(rig: Any, client: aiohttp.ClientSession) -> None:
    async with client.post(
        "/api/v1/namespaces/shop/configmaps", json={"metadata": {"name": "new"}}
    ) as answer:
        assert answer.status == 201
    (record,) = rig.records()
    assert (record["verb"], record["name"]) == ("create", "new")
    assert record["diff"] == [{"op": "add", "path": "", "value": {"metadata": {"name": "new"}}}]


async def test_the_values_of_a_secret_never_reach_the_log(rig: Any, client: aiohttp.ClientSession) -> None:
    path = "/api/v1/namespaces/shop/secrets/db"
    rig.api.objects[path] = {
        "kind": "Secret",
        "metadata": {"name": "db"},
        "data": {"password": "aHVudGVyMg=="},
    }
    async with client.patch(path, json={"data": {"password": "b3RoZXI="}}) as answer:
        assert answer.status == 200
    text = (rig.folder / "audit.jsonl").read_text()
    assert "aHVudGVyMg==" not in text
    assert "b3RoZXI=" not in text


async def test_the_client_s_own_dry_run_is_no_intent(rig: Any, client: aiohttp.ClientSession) -> None:
    async with client.patch(SCALE_PATH, params={"dryRun": "All"}, json={}) as answer:
        assert answer.status == 200
    async with client.delete(POD_PATH, params={"dryRun": "All"}, json={"kind": "DeleteOptions"}) as answer:
        assert answer.status == 200
    first, second = rig.records()
    assert (first["decision"], first["dry_run"]) == ("allowed", True)
    assert second["decision"] == "shadowed"  # its body would have deleted for real


async def test_live_mode_passes_a_mutation_as_it_came(rig: Any, client: aiohttp.ClientSession) -> None:
    rig.api.control = {"mode": "live", "killSwitch": "off"}
    async with client.delete(POD_PATH) as answer:
        assert answer.status == 200
    assert [entry[0] for entry in rig.api.applied] == ["DELETE"]
    assert rig.api.seen[-1].headers["Impersonate-Group"] == "toil-lab:live"
    (record,) = rig.records()
    assert (record["mode"], record["decision"], record["dry_run"]) == ("live", "allowed", False)


async def test_the_kill_switch_refuses_with_who_when_why(rig: Any, client: aiohttp.ClientSession) -> None:
    rig.api.control = {
        "mode": "live", "killSwitch": "on", "by": "ann", "reason": "restarts too fast",
        "at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    async with client.delete(POD_PATH) as answer:
        body = await answer.json()
    assert (answer.status, body["kind"], body["reason"]) == (403, "Status", "Forbidden")
    for part in ("ann", "restarts too fast", "2026-01-01T00:00:00Z", "lab kill-switch off"):
        assert part in body["message"]
    async with client.get(POD_PATH) as answer:
        assert answer.status == 200
    assert rig.api.mutations == []
    assert "ann" in rig.records()[0]["reason"]


async def test_the_switch_is_read_at_every_mutation(rig: Any, client: aiohttp.ClientSession) -> None:
    rig.api.control = {"mode": "live", "killSwitch": "off"}
    codes = []
    for switch in ("off", "on", "off"):
        rig.api.control["killSwitch"] = switch
        async with client.patch(SCALE_PATH, json={}) as answer:
            codes.append(answer.status)
    assert codes == [200, 403, 200]


@pytest.mark.parametrize(
    "control",
    [None, {"mode": "Live"}, {"mode": "live", "killSwitch": "maybe"}, {"killSwitch": "true"}],
    ids=["no answer", "unknown mode", "unknown switch", "a boolean"],
)
async def test_what_cannot_be_read_means_stop(
    rig: Any, client: aiohttp.ClientSession, control: dict[str, str] | None
) -> None:
    rig.api.control = control
    async with client.delete(POD_PATH) as answer:
        assert answer.status == 403
        assert "counts as engaged" in (await answer.json())["message"]
    assert rig.api.mutations == []


async def test_a_switch_engaged_while_images_were_taken_still_stops(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    rig.api.control = {"mode": "live", "killSwitch": "off"}
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(request: web.BaseRequest) -> web.StreamResponse:
        started.set()
        await go_on.wait()
        await asyncio.sleep(0.15)
        return web.json_response(POD)

    rig.api.objects[POD_PATH] = slowly
    asked = asyncio.ensure_future(client.delete(POD_PATH))
    await started.wait()
    rig.api.control = {"mode": "live", "killSwitch": "on", "by": "ann"}
    go_on.set()
    async with await asked as answer:
        assert answer.status == 403
    assert rig.api.mutations == []


async def test_an_upstream_that_is_gone_is_a_status_503(rig: Any, client: aiohttp.ClientSession) -> None:
    rig.gateway.upstream.connection = dataclasses.replace(
        rig.gateway.upstream.connection, server="http://127.0.0.1:9"
    )
    async with client.get(POD_PATH) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (503, "ServiceUnavailable")
    assert rig.records()[-1]["code"] == 503


async def test_a_watch_is_passed_on_event_by_event(rig: Any, client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/namespaces/shop/pods?watch=true") as answer:
        assert await answer.content.readline() == b'{"type":"ADDED"}\n'
        assert [(r["verb"], r["code"]) for r in rig.records()] == [("watch", 200)]
        rig.api.may_end.set()
        assert await answer.content.readline() == b'{"type":"DELETED"}\n'
        assert await answer.content.readline() == b""


async def test_compressed_answers_and_heads_pass_as_they_are(rig: Any, client: aiohttp.ClientSession) -> None:
    async def compressed(request: web.BaseRequest) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "gzip"
        response = web.json_response({"kind": "PodList", "items": ["x" * 5000]})
        response.enable_compression(web.ContentCoding.gzip)
        return response

    path = "/api/v1/namespaces/shop/pods"
    rig.api.objects[path] = compressed
    async with client.get(path, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert len((await answer.json())["items"][0]) == 5000
    async with client.head(POD_PATH) as answer:
        assert (answer.status, await answer.read()) == (200, b"")
    assert [r["verb"] for r in rig.records()] == ["list", "get"]


async def test_leaving_a_watch_ends_it_upstream(rig: Any, client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/namespaces/shop/pods?watch=true") as answer:
        await answer.content.readline()
        answer.close()
    async with asyncio.timeout(5):
        await rig.api.stream_ended.wait()


async def test_a_client_that_does_not_read_holds_the_api_server_back(rig: Any) -> None:
    """Nothing is gathered for it: upstream waits, and goes on when the client does."""
    chunk, sent, whole = b"x" * 65536, 0, 96 * 2**20

    async def log(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < whole:
            await response.write(chunk)
            sent += len(chunk)
        return response

    rig.api.objects["/api/v1/namespaces/shop/pods/worker-2"] = log
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    head = "GET /api/v1/namespaces/shop/pods/worker-2 HTTP/1.1\r\nHost: gateway\r\n"
    writer.write(f"{head}Authorization: Bearer secret-of-the-automation\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    held = -1
    async with asyncio.timeout(30):
        while sent != held:
            held = sent
            await asyncio.sleep(0.1)
        assert 0 < held < whole
        while sent == held:
            await reader.read(2**20)
    writer.close()


async def test_a_mutation_whose_client_leaves_is_still_recorded(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    rig.api.delay = 0.2
    with pytest.raises(TimeoutError):
        await client.delete(POD_PATH, timeout=aiohttp.ClientTimeout(total=0.1))
    await until(lambda: rig.gateway.book.last == 1)
    assert rig.records()[0]["decision"] == "shadowed"
    assert rig.records()[0]["code"] == 200


async def test_a_read_whose_client_leaves_is_recorded_without_an_answer(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    rig.api.delay = 30
    with pytest.raises(TimeoutError):
        await client.get(POD_PATH, timeout=aiohttp.ClientTimeout(total=0.1))
    await until(lambda: rig.gateway.book.last == 1)
    assert (rig.records()[0]["decision"], rig.records()[0]["code"]) == ("allowed", 0)


async def test_a_protobuf_body_passes_untouched(rig: Any, client: aiohttp.ClientSession) -> None:
    body = b"k8s\x00\x0a\x00\x12\x03abc"
    headers = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    async with client.put("/api/v1/namespaces/shop/configmaps/c", data=body, headers=headers) as answer:
        assert answer.status == 200
    sent = rig.api.seen[-1]
    assert (await sent.read(), sent.content_type) == (body, "application/vnd.kubernetes.protobuf")


async def test_a_body_over_the_limit_is_refused(rig: Any, client: aiohttp.ClientSession) -> None:
    async with client.post(
        "/api/v1/namespaces/shop/configmaps", data=io.BytesIO(b"x" * (3 * 1024 * 1024 + 1))
    ) as answer:
        assert answer.status == 413
    assert rig.api.mutations == []


async def test_the_second_shadow_eviction_meets_the_budget_that_the_first_used(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    other = "/api/v1/namespaces/shop/pods/worker-2"
    rig.api.objects[other] = {**POD, "metadata": POD["metadata"] | {"name": "worker-2", "uid": "u2"}}
    rig.api.objects["/apis/policy/v1/namespaces/shop/poddisruptionbudgets"] = {
        "items": [
            {
                "metadata": {"name": "worker", "namespace": "shop"},
                "spec": {"selector": {"matchLabels": {"app": "worker"}}},
                "status": {"disruptionsAllowed": 1, "desiredHealthy": 7, "currentHealthy": 8},
            }
        ]
    }
    codes = []
    for path in (POD_PATH, POD_PATH, other):
        async with client.post(f"{path}/eviction", json=EVICTION) as answer:
            codes.append(answer.status)
            body = await answer.json()
    assert codes == [201, 201, 429]
    assert body["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert "needs 7 healthy pods and has 7 currently" in body["details"]["causes"][0]["message"]
    assert [r["decision"] for r in rig.records()] == ["shadowed"] * 3


async def test_exec_is_refused_in_shadow_and_joined_in_live(rig: Any, client: aiohttp.ClientSession) -> None:
    path = f"{POD_PATH}/exec"

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(b"\x01" + message.data)
        return socket

    rig.api.objects[path] = echo
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client.ws_connect(path, protocols=("v5.channel.k8s.io",))
    assert refused.value.status == 403
    assert rig.api.mutations == []
    rig.api.control = {"mode": "live"}
    async with client.ws_connect(f"{path}?command=ls", protocols=("v5.channel.k8s.io",)) as socket:
        assert socket.protocol == "v5.channel.k8s.io"
        await socket.send_bytes(b"hello")
        assert await socket.receive_bytes() == b"\x01hello"
    refusal, joined = rig.records()
    assert (refusal["decision"], refusal["subresource"]) == ("refused", "exec")
    assert (joined["decision"], joined["code"]) == ("allowed", 101)


async def test_metrics_follow_the_records(rig: Any, client: aiohttp.ClientSession) -> None:
    await (await client.delete(POD_PATH)).read()
    await (await client.delete("/apis/made.up/v1/things/one")).read()
    value = rig.gateway.measures.registry.get_sample_value
    labels = {"mode": "shadow", "verb": "delete", "outcome": "shadowed"}
    assert value("toil_mutations_total", labels | {"resource": "pods"}) == 1
    assert value("toil_mutations_total", labels | {"resource": "other"}) == 1
    assert value("toil_gateway_mode", {"mode": "shadow"}) == 1
    assert value("toil_kill_switch_engaged") == 0


async def test_a_log_that_cannot_be_written_stops_mutations(
    rig: Any, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    book = rig.gateway.book
    descriptor = os.open(full, os.O_WRONLY)
    try:
        monkeypatch.setattr(book, "_file", descriptor)
        async with client.get(POD_PATH) as answer:
            assert answer.status == 503
        async with client.delete(POD_PATH) as answer:
            assert answer.status == 503
        assert rig.api.mutations == []
    finally:
        os.close(descriptor)
        monkeypatch.undo()
    assert os.fstat(book._file).st_size == 0
    assert await (await client.get(POD_PATH)).json() == POD
    assert (await client.delete(POD_PATH)).status == 200
    assert [r["seq"] for r in rig.records()] == [1, 2]
