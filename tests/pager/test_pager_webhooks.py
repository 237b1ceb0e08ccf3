"""Webhooks of version 4: at least once, with retries, to real receivers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pager_harness import PagerAt, alert, eventually, running_pager, serving

from lab.core.clock import TimeScale
from lab.pager.matchers import all_match, parse_matcher, parse_matchers

FAST = TimeScale(6.0)


class Receiver:
    """Answers with the codes given, then with 200; keeps what it was sent."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.bodies: list[dict[str, Any]] = []

    async def receive(self, request: web.Request) -> web.Response:
        code = self.codes.pop(0) if self.codes else 200
        body = await request.json()
        if code == 200:
            self.bodies.append(body)
        return web.Response(status=code)

    async def seen(self) -> list[str]:
        return [f"{body['status']} {body['alerts'][0]['labels']['partition']}" for body in self.bodies]


@asynccontextmanager
async def receiving(*codes: int) -> AsyncIterator[tuple[Receiver, str]]:
    receiver = Receiver(*codes)
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    async with serving(app) as base:
        yield receiver, f"{base}/hook"


async def register(pager: PagerAt, url: str, **more: Any) -> None:
    await pager.call("POST", "/api/v1/webhooks", {"name": "bot", "url": url, **more}, expect=201)


async def end(pager: PagerAt, sent: dict[str, Any]) -> None:
    await pager.call("POST", "/api/v2/alerts", [sent | {"endsAt": sent["startsAt"]}])


async def test_a_receiver_hears_of_the_start_and_the_end(pager: PagerAt) -> None:
    async with receiving() as (receiver, url):
        await register(pager, url)
        sent = alert(partition="3")
        await pager.call("POST", "/api/v2/alerts", [sent])
        await eventually(lambda: receiver.seen())
        (incident,) = await pager.incidents()
        body = receiver.bodies[0]
        assert {
            key: body[key] for key in ("version", "status", "receiver", "truncatedAlerts", "externalURL")
        } == {
            "version": "4",
            "status": "firing",
            "receiver": "bot",
            "truncatedAlerts": 0,
            "externalURL": "http://pager.test",
        }
        assert body["groupKey"] == '{}:{alertname="OrdersWaitingTooLong", partition="3", severity="critical"}'
        assert body["groupLabels"] == body["commonLabels"] == sent["labels"]
        assert body["commonAnnotations"] == sent["annotations"]
        (item,) = body["alerts"]
        assert item["fingerprint"] == incident["fingerprint"]
        assert item["startsAt"] == incident["startsAt"]
        assert item["incident"] == incident["id"]
        assert (item["endsAt"], item["generatorURL"]) == ("0001-01-01T00:00:00Z", sent["generatorURL"])
        await end(pager, sent)
        await eventually(lambda: _has(receiver, 2))
        assert await receiver.seen() == ["firing 3", "resolved 3"]
        assert not receiver.bodies[1]["alerts"][0]["endsAt"].startswith("0001")


async def _has(receiver: Receiver, count: int) -> bool:
    return len(receiver.bodies) >= count


async def test_failures_are_retried_until_it_works() -> None:
    async with running_pager(scale=FAST) as pager, receiving(500, 503, 429) as (receiver, url):
        await register(pager, url)
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
        await eventually(lambda: _has(receiver, 1))
        assert receiver.codes == []


async def test_a_refusal_is_final_and_in_the_history(pager: PagerAt) -> None:
    async with receiving(404) as (receiver, url):
        await register(pager, url)
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
        await pager.call("POST", "/api/v2/alerts", [alert(partition="4")])
        await eventually(lambda: _has(receiver, 1))
        assert await receiver.seen() == ["firing 4"]
        history = await pager.call("GET", "/api/v1/history?format=text")
        assert "refused the notification (firing): HTTP 404" in history


async def test_a_receiver_that_was_away_hears_the_present_state() -> None:
    async with running_pager(scale=FAST) as pager:
        async with receiving() as (_, url):
            pass
        await register(pager, url)
        over, lasting = alert(partition="1"), alert(partition="2")
        await pager.call("POST", "/api/v2/alerts", [over, lasting])
        await end(pager, over)
        receiver = Receiver()
        app = web.Application()
        app.router.add_post("/hook", receiver.receive)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        port = int(url.split(":")[2].split("/")[0])
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        try:
            await eventually(lambda: _has(receiver, 1))
            assert await receiver.seen() == ["firing 2"]
        finally:
            await runner.cleanup()


async def test_a_new_receiver_hears_of_what_is_open_and_again_when_it_comes_back(pager: PagerAt) -> None:
    async with receiving() as (receiver, url):
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
        await register(pager, url)
        await eventually(lambda: _has(receiver, 1))
        await register(pager, url)
        await eventually(lambda: _has(receiver, 2))
        assert await receiver.seen() == ["firing 3", "firing 3"]


async def test_matchers_choose(pager: PagerAt) -> None:
    async with receiving() as (receiver, url):
        await register(pager, url, matchers=['partition=~"2|3"', "severity=critical"])
        await pager.call(
            "POST",
            "/api/v2/alerts",
            [alert(partition="1"), alert(partition="2"), alert(partition="3", severity="warning")],
        )
        await eventually(lambda: _has(receiver, 1))
        assert await receiver.seen() == ["firing 2"]
        (listed,) = (await pager.call("GET", "/api/v1/webhooks"))["webhooks"]
        assert listed == {"name": "bot", "url": url, "matchers": ['partition=~"2|3"', 'severity="critical"']}


@pytest.mark.parametrize("how", ["path", "query", "body"])
async def test_a_receiver_can_be_removed(pager: PagerAt, how: str) -> None:
    await register(pager, "http://127.0.0.1:9/x")
    path = {"path": "/api/v1/webhooks/bot", "query": "/api/v1/webhooks?name=bot", "body": "/api/v1/webhooks"}[
        how
    ]
    body = {"name": "bot"} if how == "body" else None
    await pager.call("DELETE", path, body)
    assert (await pager.call("GET", "/api/v1/webhooks"))["webhooks"] == []
    await pager.call("DELETE", path, body, expect=404)


async def test_a_restart_tells_what_was_not_told(tmp_path: Path) -> None:
    async with receiving() as (receiver, url):
        async with running_pager(tmp_path) as pager:
            sent = alert(partition="3")
            await register(pager, url)
            await pager.call("POST", "/api/v2/alerts", [sent])
            await eventually(lambda: _has(receiver, 1))
            receiver.codes = [503] * 50
            await end(pager, sent)
            await eventually(lambda: _codes_below(receiver, 50))
        receiver.codes = []
        async with running_pager(tmp_path) as pager:
            await eventually(lambda: _has(receiver, 2))
            assert await receiver.seen() == ["firing 3", "resolved 3"]


async def _codes_below(receiver: Receiver, count: int) -> bool:
    return len(receiver.codes) < count


@pytest.mark.parametrize(
    ("text", "labels", "holds"),
    [
        ('a="1"', {"a": "1"}, True),
        ("a=1", {"a": "2"}, False),
        ('a!="1"', {}, True),
        ('a=~"1|2.*"', {"a": "23"}, True),
        ('a=~"1"', {"a": "11"}, False),
        ('a!~"x.+"', {"a": "xy"}, False),
        ('a="q\\"uo\\\\te\\n"', {"a": 'q"uo\\te\n'}, True),
    ],
)
def test_a_matcher_decides(text: str, labels: dict[str, str], holds: bool) -> None:
    matcher = parse_matcher(text)
    assert matcher.matches(labels) is holds
    assert parse_matcher(str(matcher)) == matcher


def test_matchers_have_three_forms() -> None:
    objects = [{"name": "a", "value": "1|2", "isRegex": True}, {"name": "b", "value": "x", "isEqual": False}]
    assert parse_matchers(objects) == parse_matchers(['a=~"1|2"', 'b!="x"'])
    assert parse_matchers({"a": "1"}) == parse_matchers(['a="1"'])
    assert all_match(parse_matchers(None), {})


@pytest.mark.parametrize(
    "text", ["", "a", "=1", 'a="', "a=~(x+)+y", "a=~x{9}", "a=~.*.*.*y", "a=~[", "a b=c"]
)
def test_what_is_no_matcher_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_matcher(text)
