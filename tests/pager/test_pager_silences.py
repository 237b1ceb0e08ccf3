"""Silences as in Alertmanager's v2 API, by HTTP and by amtool."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pager_harness import PagerAt, VirtualClock, alert, eventually, new_book, running_pager

from lab.core.clock import SystemClock, rfc3339
from lab.pager.alerts import parse_alerts
from lab.pager.book import Book
from lab.pager.matchers import parse_matchers
from lab.pager.values import Silence

SILENCES = "/api/v2/silences"


def silence(seconds: float = 60.0, *, starts_in: float = 0.0, **more: Any) -> dict[str, Any]:
    now = SystemClock().now()
    return {
        "matchers": [{"name": "partition", "value": "3", "isRegex": False, "isEqual": True}],
        "startsAt": rfc3339(now + timedelta(seconds=starts_in)),
        "endsAt": rfc3339(now + timedelta(seconds=starts_in + seconds)),
        "createdBy": "ann",
        "comment": "maintenance",
        **more,
    }


async def add(pager: PagerAt, body: dict[str, Any] | None = None) -> str:
    return str((await pager.call("POST", SILENCES, body or silence()))["silenceID"])


async def alerts(pager: PagerAt, query: str = "") -> list[dict[str, Any]]:
    return list(await pager.call("GET", f"/api/v2/alerts{query}"))


async def test_a_silenced_alert_pages_nobody_until_the_silence_ends(pager: PagerAt) -> None:
    identity = await add(pager)
    sent = alert(partition="3")
    await pager.call("POST", "/api/v2/alerts", [sent, alert(partition="4")])
    assert [incident["labels"]["partition"] for incident in await pager.incidents()] == ["4"]
    found = {item["labels"]["partition"]: item["status"] for item in await alerts(pager)}
    assert found["3"] == {"state": "suppressed", "silencedBy": [identity], "inhibitedBy": [], "mutedBy": []}
    assert (found["4"]["state"], found["4"]["silencedBy"]) == ("active", [])
    assert len(await alerts(pager, "?silenced=false")) == 1
    assert len(await alerts(pager, "?active=false")) == 1
    metrics = await pager.call("GET", "/metrics")
    assert "toil_silenced_alerts 1.0" in metrics
    await pager.call("DELETE", f"/api/v2/silence/{identity}")
    await pager.call("POST", "/api/v2/alerts", [sent])
    assert len(await pager.incidents("open")) == 2
    assert {item["status"]["state"] for item in await alerts(pager)} == {"active"}
    kinds = [entry["kind"] for entry in (await pager.call("GET", "/api/v1/history"))["entries"]]
    assert kinds == ["silence", "silenced", "opened", "silence", "opened"]


async def test_a_silence_is_listed_changed_and_ended(pager: PagerAt) -> None:
    body = silence()
    identity = await add(pager, body)
    (listed,) = await pager.call("GET", SILENCES)
    assert listed == await pager.call("GET", f"/api/v2/silence/{identity}")
    assert listed["status"] == {"state": "active"}
    assert listed["matchers"] == body["matchers"]
    longer = body | {"id": identity, "startsAt": listed["startsAt"], "endsAt": silence(600)["endsAt"]}
    assert await add(pager, longer) == identity
    other = longer | {"matchers": [{"name": "partition", "value": "3|4", "isRegex": True}]}
    replaced = await add(pager, other)
    assert replaced != identity
    states = {item["id"]: item["status"]["state"] for item in await pager.call("GET", SILENCES)}
    assert states == {identity: "expired", replaced: "active"}
    assert len(await pager.call("GET", f'{SILENCES}?filter=partition%3D"3|4"')) == 1
    assert await pager.call("GET", f"{SILENCES}?filter=other%3D1") == []
    for _ in range(2):
        assert await pager.call("DELETE", f"/api/v2/silence/{replaced}") == {}
    assert {item["status"]["state"] for item in await pager.call("GET", SILENCES)} == {"expired"}
    for method in ("GET", "DELETE"):
        assert "there is no silence" in await pager.call(method, "/api/v2/silence/none", expect=404)
    await pager.call("POST", SILENCES, silence(id="none"), expect=404)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"matchers": []}, "at least one matcher"),
        ({"matchers": None}, "matchers is missing"),
        ({"matchers": [{"name": "a", "value": ""}]}, "must not match an alert without"),
        ({"matchers": [{"name": "a", "value": "x", "isEqual": False}]}, "must not match an alert without"),
        ({"matchers": [{"name": "a", "value": "(x+)+", "isRegex": True}]}, "refused"),
        ({"endsAt": "2020-01-01T00:00:00Z", "startsAt": "2019-01-01T00:00:00Z"}, "not lie in the past"),
        ({"endsAt": "2020-01-01T00:00:00Z"}, "endsAt must be after startsAt"),
        ({"endsAt": "soon"}, "RFC 3339"),
        ({"createdBy": ""}, "createdBy is missing"),
    ],
)
async def test_a_bad_silence_is_refused(pager: PagerAt, changes: Any, says: str) -> None:
    answer = await pager.call("POST", SILENCES, silence() | changes, expect=400)
    assert says in answer


async def test_a_silence_holds_notifications_back_and_lets_them_go(pager: PagerAt) -> None:
    from test_pager_webhooks import receiving, register

    async with receiving() as (receiver, url):
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3"), alert(partition="4")])
        await add(pager, silence(1.5))
        await register(pager, url)
        await eventually(receiver.seen)
        assert await receiver.seen() == ["firing 4"]

        async def both() -> bool:
            return len(receiver.bodies) == 2

        await eventually(both)
        assert await receiver.seen() == ["firing 4", "firing 3"]


# Time, in a book whose clock the test moves.


def put(book: Book, seconds: float, *, starts_in: float = 0.0) -> Silence:
    now = book.store.clock.now()
    starts_at = now + timedelta(seconds=starts_in)
    matchers = parse_matchers(['alertname="A"'])
    wanted = Silence("", matchers, starts_at, starts_at + timedelta(seconds=seconds), "ann", "", now)
    return book.silences.put(wanted)


def push(book: Book) -> None:
    book.episodes.receive(parse_alerts([{"labels": {"alertname": "A", "severity": "critical"}}])[0])


def test_a_silence_covers_exactly_its_time(tmp_path: Path) -> None:
    clock = VirtualClock()
    book = new_book(clock, tmp_path / "j")
    put(book, 10, starts_in=10)
    push(book)
    assert len(book.store.state.open) == 1
    book.incidents.resolve(next(iter(book.store.state.incidents)), "ann")
    clock.advance(16)
    push(book)
    assert len(book.store.state.open) == 0
    assert len(book.episodes.silenced) == 1
    again = new_book(clock, tmp_path / "j")
    push(again)
    assert len(again.store.state.open) == 0
    clock.advance(4)
    push(book)
    assert (len(book.store.state.open), len(book.episodes.silenced)) == (1, 0)


def test_a_silenced_alert_that_ends_is_forgotten() -> None:
    clock = VirtualClock()
    book = new_book(clock)
    put(book, 100)
    push(book)
    clock.advance(5)
    book.tick()
    assert book.episodes.silenced == {}


def test_a_silenced_page_climbs_no_ladder() -> None:
    clock = VirtualClock()
    book = new_book(clock)
    push(book)
    put(book, 100)
    for _ in range(8):
        clock.advance(4)
        push(book)
        book.tick()
    assert [entry for entry in book.store.state.history if entry.kind == "level"] == []


# amtool


@pytest.mark.skipif(
    shutil.which("amtool") is None, reason="amtool is not on PATH (Debian: prometheus-alertmanager)"
)
async def test_amtool_adds_queries_and_expires() -> None:
    async with running_pager() as pager:
        base = f"--alertmanager.url={pager.base}"
        await amtool("alert", "add", base, "alertname=A", "severity=critical", "partition=3")
        added = await amtool(
            "silence",
            "add",
            base,
            "--author=ann",
            "--comment=calm",
            "--duration=10m",
            "partition=~3|4",
            "severity!=x",
        )
        identity = added.strip()
        assert identity in await amtool("silence", "query", base)
        (listed,) = json.loads(await amtool("silence", "query", base, "partition=3|4", "-o", "json"))
        assert (listed["createdBy"], listed["status"]["state"]) == ("ann", "active")
        await amtool("alert", "add", base, "alertname=B", "severity=critical", "partition=4")
        assert [incident["alertname"] for incident in await pager.incidents()] == ["A"]
        shown = json.loads(await amtool("alert", "query", base, "--silenced", "-o", "json"))
        assert {item["labels"]["alertname"] for item in shown} == {"A", "B"}
        assert all(item["status"]["silencedBy"] == [identity] for item in shown)
        updated = (
            await amtool("silence", "update", base, "--duration=20m", "--comment=longer", identity)
        ).strip()
        assert "longer" in await amtool("silence", "query", base)
        await amtool("silence", "expire", base, updated.splitlines()[-1].split()[0] if updated else identity)
        assert "longer" not in await amtool("silence", "query", base)


async def amtool(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "amtool", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, f"amtool {' '.join(arguments)}: {err.decode()}"
    return out.decode()
