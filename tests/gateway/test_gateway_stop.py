"""The kill switch reaches what is on its way: refuses what waits, names what was sent, cuts what streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from lab.core.clock import SystemClock
from lab.core.fault_row import FaultRow
from lab.gateway.admin import admin_app
from lab.gateway.control import Control, ControlState

POD = "/api/v1/namespaces/shop/pods/worker-1"
AUTH = {"Authorization": "Bearer secret-of-the-automation"}
ON = {"killSwitch": "on", "by": "ann", "reason": "restarts too fast", "at": "2026-01-01T00:00:00Z"}


@pytest.fixture
async def client(rig: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a live gateway that watches its control ConfigMap, as the gateway's pod does."""
    rig.api.control = {"mode": "live", "killSwitch": "off"}
    rig.api.objects[POD] = {"kind": "Pod", "metadata": {"name": "worker-1", "namespace": "shop"}}
    following = asyncio.create_task(rig.gateway.follow(SystemClock()))
    await until(lambda: rig.api.watchers and rig.gateway.control.last.readable)
    async with aiohttp.ClientSession(rig.url, headers=AUTH) as session:
        yield session
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def until(condition: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def hang(request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_mutation_whose_image_is_being_read_is_refused_at_once(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    rig.api.objects[POD] = hang
    asked = asyncio.ensure_future(client.delete(POD))
    await until(lambda: rig.api.seen)
    engaged = time.monotonic()
    rig.api.set_control(**ON)
    async with await asked as answer:
        assert answer.status == 403
        message = (await answer.json())["message"]
    assert time.monotonic() - engaged < 0.2
    for part in ("ann", "restarts too fast", "2026-01-01T00:00:00Z", "lab kill-switch off"):
        assert part in message
    assert rig.api.mutations == []
    (record,) = rig.records()
    assert (record["decision"], record["code"]) == ("refused", 403)
    assert "ann" in record["reason"]


async def test_a_mutation_whose_body_is_still_coming_is_refused_at_once(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"spec":'
        await asyncio.sleep(30)
        yield b"{}}"

    asked = asyncio.ensure_future(client.patch(POD, data=slowly()))
    await until(lambda: rig.gateway.front._passages._passages)
    engaged = time.monotonic()
    rig.api.set_control(**ON)
    async with await asked as answer:
        assert answer.status == 403
    assert time.monotonic() - engaged < 0.2
    assert rig.api.mutations == []
    assert rig.records()[-1]["decision"] == "refused"


@pytest.mark.parametrize("fault", ["api-latency", "api-hang"])
async def test_a_mutation_that_a_fault_delays_is_refused_at_once(
    rig: Any, client: aiohttp.ClientSession, fault: str
) -> None:
    own = {"delaySeconds": 60.0, "spreadSeconds": 0.0} if fault == "api-latency" else {}
    expires = datetime.now(UTC) + timedelta(seconds=60)
    row = FaultRow(f"{fault}-1", fault, "gateway", own, expires, 1)
    rig.gateway.faults.board.put({row.id: row.as_json()})
    asked = asyncio.ensure_future(client.delete(POD))
    await until(lambda: rig.gateway.front._passages._passages)
    engaged = time.monotonic()
    rig.api.set_control(**ON)
    async with await asked as answer:
        assert answer.status == 403
    assert time.monotonic() - engaged < 0.2
    assert rig.api.mutations == []
    assert "ann" in rig.records()[-1]["reason"]


async def test_a_mutation_that_was_sent_cannot_be_recalled_and_the_record_says_so(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    go_on = asyncio.Event()

    async def answers_late(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "DELETE":
            await go_on.wait()
        return web.json_response({"kind": "Pod", "metadata": {"name": "worker-1"}})

    rig.api.objects[POD] = answers_late
    asked = asyncio.ensure_future(client.delete(POD))
    await until(lambda: rig.api.mutations)
    rig.api.set_control(**ON)
    await until(lambda: rig.gateway.control.last.stopped)
    go_on.set()
    async with await asked as answer:
        assert answer.status == 200
    (record,) = rig.records()
    assert (record["decision"], record["code"]) == ("allowed", 200)
    assert "sent to the API server before the kill switch was engaged by ann" in record["reason"]
    assert "could not be recalled" in record["reason"]


@pytest.mark.parametrize("delay", [0.0, 0.03])
async def test_nothing_leaves_any_more_under_load(
    rig: Any, client: aiohttp.ClientSession, delay: float
) -> None:
    """Fifty clients that never stop: from the moment that the gateway knows, nothing is sent."""
    rig.api.delay = delay
    passages, control, sent = rig.gateway.front._passages, rig.gateway.control, []
    stop = control.on_stop

    def note(state: Any) -> None:
        stop(state)
        sent.append(sum(passage.sent for passage in passages._passages.values()))

    control.on_stop = note

    async def mutate() -> int:
        while True:
            async with client.delete(POD) as answer:
                if answer.status == 403:
                    return answer.status

    load = [asyncio.create_task(mutate()) for _ in range(50)]
    await until(lambda: len(rig.records()) > 100)
    rig.api.set_control(**ON)
    await until(lambda: sent)
    answered = sum(r["decision"] == "allowed" for r in rig.records())
    async with asyncio.timeout(10):
        assert set(await asyncio.gather(*load)) == {403}
    records = rig.records()
    late = [r for r in records if r["decision"] == "allowed"][answered:]
    assert len(late) <= sent[0]
    assert all("could not be recalled" in r["reason"] for r in late)
    assert len(rig.api.applied) == answered + len(late)


async def test_an_open_stream_into_a_pod_is_cut(rig: Any, client: aiohttp.ClientSession) -> None:
    ended = asyncio.Event()

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data)
        ended.set()
        return socket

    rig.api.objects[f"{POD}/exec"] = echo
    async with client.ws_connect(f"{POD}/exec?command=sh") as socket:
        await socket.send_bytes(b"hello")
        assert await socket.receive_bytes() == b"hello"
        engaged = time.monotonic()
        rig.api.set_control(**ON)
        async with asyncio.timeout(5):
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert time.monotonic() - engaged < 0.2
        async with asyncio.timeout(5):
            await ended.wait()
    opened, cut = rig.records()
    assert (opened["decision"], opened["code"]) == ("allowed", 101)
    assert (cut["decision"], cut["code"], cut["subresource"]) == ("refused", 0, "exec")
    assert "the stream was cut: the kill switch was engaged by ann" in cut["reason"]


async def test_a_stream_through_a_proxy_is_cut_reads_go_on(rig: Any, client: aiohttp.ClientSession) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.Event().wait()
        raise AssertionError

    rig.api.objects[f"{POD}/proxy"] = endless
    rig.api.may_end = asyncio.Event()
    watch = await client.get("/api/v1/namespaces/shop/pods?watch=true")
    async with client.post(f"{POD}/proxy") as answer:
        assert await answer.content.readany() == b"first"
        rig.api.set_control(**ON)
        with pytest.raises(aiohttp.ClientError):
            await answer.content.readany()
    assert await watch.content.readline() == b'{"type":"ADDED"}\n'
    rig.api.may_end.set()
    assert await watch.content.readline() == b'{"type":"DELETED"}\n'
    watch.close()


async def test_a_deleted_or_unreadable_configmap_stops_what_waits(
    rig: Any, client: aiohttp.ClientSession
) -> None:
    rig.api.objects[POD] = hang
    asked = asyncio.ensure_future(client.delete(POD))
    await until(lambda: rig.api.seen)
    rig.api.set_control(mode="Live")
    async with await asked as answer:
        assert answer.status == 403
        assert "counts as engaged" in (await answer.json())["message"]


async def test_an_older_answer_does_not_undo_what_the_watch_said(rig: Any) -> None:
    control = rig.gateway.control
    rig.api.control = {"mode": "live"}
    await control.read()
    begun, go_on = asyncio.Event(), asyncio.Event()
    inner = control._read_object

    async def late(path: str) -> Any:
        begun.set()
        found = await inner(path)
        await go_on.wait()
        return found

    control._read_object = late
    reading = asyncio.ensure_future(control.read())
    await begun.wait()

    async def event(_: str) -> AsyncIterator[dict[str, Any]]:
        yield {"type": "MODIFIED", "object": {"data": {"mode": "live"} | ON}}

    await control.follow(event)
    go_on.set()
    assert not (await reading).stopped
    assert control.last.stopped


class Desk:
    """Reads of the control ConfigMap that are answered when the test says so."""

    def __init__(self) -> None:
        self.data = {"mode": "live"}
        self.asked: list[asyncio.Event] = []
        self.control = Control(self.read, "lab-system", "automation-control")

    async def read(self, _: str) -> Any:
        may_answer, found = asyncio.Event(), dict(self.data)
        self.asked.append(may_answer)
        await may_answer.wait()
        return {"data": found}

    def ask(self) -> asyncio.Future[ControlState]:
        return asyncio.ensure_future(self.control.read())


async def test_who_asks_during_a_read_is_told_by_one_that_begins_later() -> None:
    desk = Desk()
    first = desk.ask()
    await until(lambda: desk.asked)
    desk.data |= ON
    later = [desk.ask() for _ in range(20)]
    await asyncio.sleep(0)
    later[0].cancel()  # its client left; the others do not notice
    desk.asked[0].set()
    await until(lambda: len(desk.asked) == 2)
    desk.asked[1].set()
    assert not (await first).stopped
    assert all(state.stopped for state in await asyncio.gather(*later[1:]))
    assert (len(desk.asked), later[0].cancelled()) == (2, True)


async def test_a_read_that_hangs_holds_up_no_other() -> None:
    desk = Desk()
    hanging = desk.ask()
    await until(lambda: desk.asked)
    later = desk.ask()
    await until(lambda: len(desk.asked) == 2)
    desk.asked[1].set()
    assert not (await later).stopped
    desk.asked[0].set()
    await hanging


async def test_who_asks_after_a_read_has_begun_waits_for_the_next() -> None:
    desk = Desk()
    asked = [desk.ask()]
    await until(lambda: desk.asked)
    asked.append(desk.ask())
    await until(lambda: len(desk.asked) == 2)  # the first is slow, so the second has begun
    desk.data |= ON
    asked.append(desk.ask())
    await until(lambda: len(desk.asked) == 3)
    for may_answer in desk.asked:
        may_answer.set()
    assert [state.stopped for state in await asyncio.gather(*asked)] == [False, False, True]


async def test_a_button_can_engage_it(rig: Any, client: aiohttp.ClientSession) -> None:
    runner = web.AppRunner(admin_app(rig.gateway.book, "admin", rig.gateway.switch))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/kill-switch"
    body = {"on": True, "by": "ann", "reason": "demo"}
    try:
        async with aiohttp.ClientSession() as page:
            assert (await page.post(url, json=body)).status == 401
            headers = {"Authorization": "Bearer admin"}
            for wrong in ([], {"on": "yes", "by": "ann"}, {"on": True}, {"on": True, "by": " "}):
                assert (await page.post(url, json=wrong, headers=headers)).status == 400
            assert (await page.post(url, data=b"{", headers=headers)).status == 400
            assert rig.api.control["killSwitch"] == "off"
            async with page.post(url, json=body, headers=headers) as answer:
                said = await answer.json()
            assert (said["killSwitch"], said["by"], said["reason"]) == ("on", "ann", "demo")
            assert rig.api.control["killSwitch"] == "on"
            assert (await client.delete(POD)).status == 403
            async with page.post(url, json=body | {"on": False}, headers=headers) as answer:
                assert (await answer.json())["killSwitch"] == "off"
            assert (await client.delete(POD)).status == 200
    finally:
        await runner.cleanup()
