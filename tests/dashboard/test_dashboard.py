"""The live page: who gets in, what it shows when a part is away, and what it asks while nobody looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from lab.core.clock import SystemClock
from lab.dashboard.access import COOKIE, HEADER, page_token
from lab.dashboard.server import Page, application
from lab.dashboard.state import Sources

TOKEN = page_token("an admin token")


class Part:
    """A service that answers from a table, and counts."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {f"/{path.replace('__', '/')}": answer for path, answer in answers.items()}
        self.asked = 0
        self.away = False

    async def call(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Any:
        self.asked += 1
        if self.away:
            raise ConnectionError(f"{method} {path}: connection refused")
        answer = self.answers[path]
        return answer(query) if callable(answer) else answer


class ControlMap:
    """The ConfigMap with mode and kill switch."""

    def __init__(self) -> None:
        self.data = {"mode": "shadow", "killSwitch": "off"}

    async def get(self, resource: str, name: str, namespace: str) -> dict[str, Any]:
        return {"data": self.data}

    async def patch(self, resource: str, name: str, patch: Any, namespace: str) -> dict[str, Any]:
        self.data |= patch["data"]
        return {"data": self.data}


def record(seq: int, decision: str, mutating: bool = True) -> dict[str, Any]:
    return {"seq": seq, "mutating": mutating, "decision": decision, "verb": "delete", "code": 200}


class Bench:
    """A page with its parts, on a port of its own."""

    def __init__(self) -> None:
        self.records = [record(1, "allowed"), record(2, "allowed", mutating=False), record(3, "refused")]
        incidents = [{"id": "a", "status": "resolved"}, {"id": "b", "status": "triggered"}]
        self.pager = Part(api__v1__incidents={"incidents": incidents}, api__v1__status={"posts": []})
        self.gateway = Part(audit=self.audit)
        self.faults = Part(api__v1__faults={"faults": []})
        value = {"data": {"result": [{"value": [0, "0.5"]}]}}
        self.prometheus = Part(api__v1__query=value)
        self.control = ControlMap()
        self.sources = Sources(
            pager=self.pager,
            gateway=self.gateway,
            faults=self.faults,
            prometheus=self.prometheus,
            kube=self.control,  # type: ignore[arg-type]
            clock=SystemClock(),
        )
        self.base = ""

    def audit(self, query: Mapping[str, str]) -> Any:
        after = int(query["after"])
        return {"records": [r for r in self.records if r["seq"] > after], "last": len(self.records)}


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    runner = web.AppRunner(application(Page(made.sources, SystemClock()), TOKEN), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def browser(bench: Bench) -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)  # the address is an IP
    async with aiohttp.ClientSession(bench.base, cookie_jar=jar) as session:
        yield session


async def test_only_the_link_opens_the_page(bench: Bench, browser: aiohttp.ClientSession) -> None:
    for path in (
        "/",
        "/page.js",
        "/api/v1/state",
        "/?token=",
        "/?token=wrong",
        "/api/v1/state?token=" + TOKEN,
    ):
        async with browser.get(path) as answer:
            assert answer.status == 401, path
    async with browser.get(f"/?token={TOKEN}") as answer:
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert TOKEN not in str(answer.url)
    assert [cookie["httponly"] for cookie in browser.cookie_jar if cookie.key == COOKIE] == [True]


async def test_a_change_needs_the_header_that_no_form_can_send(
    bench: Bench, browser: aiohttp.ClientSession
) -> None:
    await browser.get(f"/?token={TOKEN}")
    body = {"on": True, "reason": "an incident"}
    async with browser.post("/api/v1/kill-switch", json=body) as answer:
        assert answer.status == 403
    assert bench.control.data["killSwitch"] == "off"
    async with browser.post("/api/v1/kill-switch", json=body, headers={HEADER: "1"}) as answer:
        assert (answer.status, (await answer.json())["control"]["reason"]) == (200, "an incident")
    assert (bench.control.data["killSwitch"], bench.control.data["by"]) == ("on", "the live page")
    for wrong in (b"", b"[]", b'{"on": "yes"}', b"\xff"):
        async with browser.post("/api/v1/kill-switch", data=wrong, headers={HEADER: "1"}) as answer:
            assert answer.status == 400
    assert bench.control.data["killSwitch"] == "on"


async def test_a_part_that_is_away_hides_no_other(bench: Bench) -> None:
    bench.pager.away = True
    state = await bench.sources.gather()
    assert state["incidents"] is None
    assert "connection refused" in state["away"]["incidents"]
    assert state["figures"]["exportedSuccessRate"] == 0.5
    assert state["requests"]["counts"] == {"allowed": 1, "refused": 1}


async def test_requests_are_read_once_and_anew_when_the_gateway_is_another(bench: Bench) -> None:
    first = await bench.sources.gather()
    assert [r["seq"] for r in first["requests"]["last"]] == [3, 1]
    bench.records.append(record(4, "shadowed"))
    second = await bench.sources.gather()
    assert second["requests"]["counts"] == {"allowed": 1, "refused": 1, "shadowed": 1}
    bench.records = [record(1, "shadowed")]
    third = await bench.sources.gather()
    assert third["requests"]["counts"] == {"shadowed": 1}


async def test_the_page_is_told_of_changes_and_nobody_is_asked_while_nobody_looks(
    bench: Bench, browser: aiohttp.ClientSession
) -> None:
    await asyncio.sleep(0)
    assert bench.gateway.asked == 0
    await browser.get(f"/?token={TOKEN}")
    async with browser.get("/api/v1/events") as answer:
        assert b'"killSwitch":"off"' in await answer.content.readuntil(b"\n\n")
        bench.control.data["killSwitch"] = "on"
        assert b'"killSwitch":"on"' in await answer.content.readuntil(b"\n\n")
