"""The stage of faults: whom it hits, what the kill switch does to what it holds, what the record says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from gateway_rig import POD, TOKEN, Rig

from lab.core.fault import Family
from lab.core.fault_row import FaultRow
from lab.faults.registry import FAULTS
from lab.gateway.faults.effects import effects
from lab.gateway.faults.past import Past
from lab.gateway.faults.watches import WATCH_FAULTS

PODS = "/api/v1/namespaces/shop/pods"
WORKER = f"{PODS}/worker-1"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
OWN: dict[str, dict[str, Any]] = {
    "api-latency": {"delaySeconds": 60.0, "spreadSeconds": 0.0},
    "api-hang": {},
    "api-lost-response": {"ending": "silence"},
    "api-errors": {"error": "internal", "retryAfterSeconds": 0},
    "api-reset": {},
    "api-outage": {"ending": "unavailable"},
    "watch-silence": {},
}


def begin(rig: Rig, *faults: str, lasting: float = 60.0, seed: int = 1, **asked: Any) -> None:
    """These faults and no others, as the injector would have written them."""
    expires = datetime.now(UTC) + timedelta(seconds=lasting)
    rows = [
        FaultRow(f"{fault}-{number:04d}", fault, "gateway", OWN[fault] | asked, expires, seed)
        for number, fault in enumerate(faults)
    ]
    rig.gateway.faults.board.put({row.id: row.as_json() for row in rows})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def ask(rig: Rig, method: str, path: str, **more: Any) -> int:
    """The status code, or 0 when the connection broke."""
    async with aiohttp.ClientSession(headers=HEADERS) as client:
        try:
            async with client.request(method, rig.url + path, **more) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0


async def raw(rig: Rig, method: str, path: str) -> int:
    """The same without aiohttp, which repeats a DELETE whose connection broke."""
    return await rig.raw(method, path, list(HEADERS.items()), b"")


def hits(rig: Rig, fault: str) -> float:
    registry = rig.gateway.measures.registry
    return registry.get_sample_value("toil_gateway_faults_total", {"fault": fault}) or 0.0


async def test_every_fault_of_the_gateway_is_carried_out(rig: Rig) -> None:
    known = {name for name, fault in FAULTS.items() if fault.spec.family is Family.API}
    clock = rig.gateway.front._clock
    assert known == set(effects(Past(clock), clock)) | WATCH_FAULTS


@pytest.fixture(autouse=True)
async def known(rig: Rig) -> None:
    """The gateway has seen the control state: an unknown one means stop."""
    await rig.gateway.control.read()


@pytest.mark.parametrize("fault", ["api-latency", "api-hang"])
async def test_the_kill_switch_refuses_a_mutation_that_a_fault_holds(rig: Rig, fault: str) -> None:
    rig.api.control = {"mode": "live", "killSwitch": "off"}
    rig.api.objects[WORKER] = POD
    rig.api.objects[PODS] = {"kind": "PodList", "items": []}
    await rig.gateway.control.read()
    begin(rig, fault)
    deleting = asyncio.create_task(ask(rig, "DELETE", WORKER))
    reading = asyncio.create_task(ask(rig, "GET", PODS))
    await until(lambda: hits(rig, fault) == 2)
    rig.api.control = {"mode": "live", "killSwitch": "on", "by": "ann", "reason": "practice"}
    await rig.gateway.control.read()
    engaged = asyncio.get_running_loop().time()
    assert await deleting == 403
    assert asyncio.get_running_loop().time() - engaged < 1.0
    [record] = rig.records()
    assert (record["decision"], record["code"], record["fault"]) == ("refused", 403, fault)
    assert "ann" in record["reason"]
    assert rig.api.mutations == []
    assert not reading.done(), "a read is no mutation: the fault holds it on"
    rig.gateway.faults.board.put({})
    assert await reading == 200, "a latency that ends lets it through; after a hang the client asks again"


async def test_the_refusal_of_the_kill_switch_comes_before_any_fault(rig: Rig) -> None:
    rig.api.control = {"mode": "live", "killSwitch": "on"}
    await rig.gateway.control.read()
    begin(rig, "api-errors", "api-hang", "api-outage")
    assert await ask(rig, "DELETE", WORKER) == 403
    assert rig.records()[-1]["fault"] == ""


async def test_a_response_that_the_gateway_refused_is_not_lost(rig: Rig) -> None:
    rig.api.control = {"mode": "shadow", "killSwitch": "off"}
    begin(rig, "api-lost-response")
    assert await ask(rig, "POST", f"{WORKER}/exec?command=ls") == 403
    assert rig.records()[-1]["fault"] == ""


async def test_a_lost_response_in_shadow_is_an_intent_all_the_same(rig: Rig) -> None:
    rig.api.objects[WORKER] = POD
    begin(rig, "api-lost-response", ending="reset")
    assert await raw(rig, "DELETE", WORKER) == 0
    [intent] = rig.gateway.book.intents()
    assert (intent["code"], intent["fault"], intent["dry_run"]) == (200, "api-lost-response", True)
    assert rig.api.applied == []


async def test_a_kill_after_the_mutation_was_carried_out_leaves_the_record(rig: Rig) -> None:
    """The record of a lost response is written before the silence, so it survives the gateway's death."""
    rig.api.control = {"mode": "live", "killSwitch": "off"}
    rig.api.objects[WORKER] = POD
    begin(rig, "api-lost-response")
    deleting = asyncio.create_task(raw(rig, "DELETE", WORKER))
    await until(lambda: bool(rig.records()))
    assert not deleting.done()
    assert (rig.records()[0]["code"], rig.records()[0]["decision"]) == (200, "allowed")
    rig.api.control = {"mode": "live", "killSwitch": "on"}
    await rig.gateway.control.read()
    assert not deleting.done(), "it was carried out: nothing is left to refuse"
    rig.gateway.faults.board.put({})
    assert await deleting == 0


async def test_faults_add_up_and_the_record_names_each(rig: Rig) -> None:
    begin(rig, "api-errors", "api-latency", delaySeconds=0.1)
    assert await ask(rig, "GET", PODS) == 500
    record = rig.records()[-1]
    assert record["fault"] == "api-latency,api-errors"
    assert record["latency_ms"] >= 100
    assert record["reason"] == "the fault api-errors-0000 answered instead of the API server"


async def test_a_lease_ends_what_is_held(rig: Rig) -> None:
    rig.api.objects[PODS] = {"kind": "PodList", "items": []}
    begin(rig, "api-latency", lasting=0.2)
    assert await ask(rig, "GET", PODS) == 200
    assert 100 <= rig.records()[-1]["latency_ms"] < 5000


@pytest.mark.parametrize(
    ("asked", "hit"),
    [
        ({"client": "automation"}, True),
        ({"client": "somebody"}, False),
        ({"client": ""}, True),
        ({"verbs": ["list", "get"]}, True),
        ({"verbs": ["watch"]}, False),
        ({"resources": ["pods"]}, True),
        ({"resources": ["pods/log"]}, False),
        ({"resources": ["pods.apps"]}, False),
        ({"resources": ["deployments.apps", "pods"]}, True),
        ({"probability": 0.0}, False),
    ],
)
async def test_whom_it_hits(rig: Rig, asked: dict[str, Any], hit: bool) -> None:
    rig.api.objects[PODS] = {"kind": "PodList", "items": []}
    begin(rig, "api-errors", **asked)
    assert await ask(rig, "GET", PODS) == (500 if hit else 200)


async def test_the_seed_and_the_number_of_the_request_decide(rig: Rig) -> None:
    rig.api.objects[PODS] = {"kind": "PodList", "items": []}

    async def run(seed: int, fault: str) -> list[int]:
        rows = FaultRow(fault, "api-errors", "gateway", OWN["api-errors"] | {"probability": 0.5}, None, seed)
        rig.gateway.faults.board.put({fault: rows.as_json()})
        return [await ask(rig, "GET", PODS) for _ in range(24)]

    first = await run(5, "one")
    assert set(first) == {200, 500}
    assert await run(5, "two") == first
    assert await run(6, "three") != first


async def test_without_faults_nothing_is_marked(rig: Rig) -> None:
    rig.api.objects[PODS] = {"kind": "PodList", "items": []}
    assert await ask(rig, "GET", PODS) == 200
    assert rig.records()[-1]["fault"] == ""


async def test_a_client_that_leaves_a_hang_is_recorded(rig: Rig) -> None:
    begin(rig, "api-hang")
    for method, path in (("GET", PODS), ("DELETE", WORKER)):
        assert await ask(rig, method, path, timeout=aiohttp.ClientTimeout(total=0.1)) == 0
    await until(lambda: len(rig.records()) == 2)
    assert [(r["verb"], r["code"], r["fault"]) for r in rig.records()] == [
        ("list", 0, "api-hang"),
        ("delete", 0, "api-hang"),
    ]
    assert rig.api.mutations == []


async def test_silence_holds_an_open_watch_back(rig: Rig) -> None:
    async with (
        aiohttp.ClientSession(headers=HEADERS) as client,
        client.get(f"{rig.url}{PODS}?watch=true") as answer,
    ):
        assert await answer.content.readline() == b'{"type":"ADDED"}\n'
        begin(rig, "watch-silence")
        rig.gateway.faults.sweep()
        assert hits(rig, "watch-silence") == 1
        rig.api.may_end.set()
        next_line = asyncio.create_task(answer.content.readline())
        await asyncio.wait({next_line}, timeout=0.2)
        assert not next_line.done()
        rig.gateway.faults.board.put({})
        rig.gateway.faults.sweep()
        assert await next_line == b'{"type":"DELETED"}\n'


async def test_an_outage_breaks_an_open_watch(rig: Rig) -> None:
    async with (
        aiohttp.ClientSession(headers=HEADERS) as client,
        client.get(f"{rig.url}{PODS}?watch=true") as answer,
    ):
        assert await answer.content.readline() == b'{"type":"ADDED"}\n'
        begin(rig, "api-outage", resources=["services"])
        rig.gateway.faults.sweep()
        assert hits(rig, "api-outage") == 0
        rig.gateway.faults.board.put({})
        begin(rig, "api-reset", "api-outage", resources=["pods"])
        rig.gateway.faults.sweep()
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await answer.content.readline()
        assert hits(rig, "api-outage") == 1
    await asyncio.wait_for(rig.api.stream_ended.wait(), 5)
