"""Monitoring faults of the pager, by its real API and a real receiver: the damage, and how it goes away."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from monitoring_harness import CLOCK, put, row
from prometheus_client import CollectorRegistry

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pager"))

from pager_harness import PagerAt, alert, eventually, serving

from lab.core.clock import TimeScale, parse_rfc3339
from lab.core.fault_row import FaultRow
from lab.faults.board import Board
from lab.pager.server import pager_app
from lab.pager.trouble import trouble
from lab.pager.trouble.inventions import storm_alerts

FAST = TimeScale(12.0)
"""A lab minute is a fifth of a second."""


class Receiver:
    """Keeps what it was sent, and when."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.at: list[datetime] = []

    async def receive(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.at.append(datetime.now(UTC))
        return web.Response()

    async def has(self, count: int) -> bool:
        return len(self.bodies) >= count

    def statuses(self) -> list[str]:
        return [body["status"] for body in self.bodies]


class Paged:
    """A pager in trouble, and one receiver of its notifications."""

    def __init__(self, board: Board, pager: PagerAt, receiver: Receiver) -> None:
        self.board = board
        self.pager = pager
        self.receiver = receiver

    async def push(self, *alerts: dict[str, Any]) -> None:
        await self.pager.call("POST", "/api/v2/alerts", list(alerts))

    async def end(self, sent: dict[str, Any]) -> None:
        await self.push(sent | {"endsAt": datetime.now(UTC).isoformat()})

    async def open(self, count: int) -> list[dict[str, Any]] | None:
        found = await self.pager.incidents("open")
        return found if len(found) == count else None

    async def none_open(self) -> bool:
        return not await self.pager.incidents("open")

    async def history(self, by: str) -> list[dict[str, Any]]:
        entries = (await self.pager.call("GET", "/api/v1/history"))["entries"]
        return [entry for entry in entries if entry["by"].startswith(by)]


@asynccontextmanager
async def paged(board: Board, data: Path | None = None) -> AsyncIterator[Paged]:
    app = pager_app(
        clock=CLOCK, scale=FAST, registry=CollectorRegistry(), data=data, external_url="", rows=board.active
    )
    receiver, hook = Receiver(), web.Application()
    hook.router.add_post("/hook", receiver.receive)
    async with serving(app) as base, serving(hook) as url, aiohttp.ClientSession() as session:
        pager = PagerAt(base, session)
        await pager.call("POST", "/api/v1/webhooks", {"name": "bot", "url": f"{url}/hook"}, expect=201)
        yield Paged(board, pager, receiver)


@pytest.fixture
async def it() -> AsyncIterator[Paged]:
    async with paged(Board("pager", CLOCK)) as made:
        yield made


def fault(name: str, **values: Any) -> FaultRow:
    return row(name, scale=FAST, **values)


async def test_each_notification_comes_several_times(it: Paged) -> None:
    put(it.board, fault("duplicate-notifications", copies=2, afterLabMinutes=0.5))
    sent = alert(partition="3")
    await it.push(sent)
    await eventually(lambda: it.receiver.has(3))
    first, *copies = it.receiver.bodies
    assert copies == [first, first]
    put(it.board)
    await it.end(sent)
    await it.push(alert(partition="4"))
    await eventually(lambda: it.receiver.has(5))
    assert sorted(it.receiver.statuses()[3:]) == ["firing", "resolved"]


async def test_a_late_notification_tells_of_what_is_over(it: Paged) -> None:
    put(it.board, fault("late-notifications", delayLabMinutes=4))
    await it.push(alert(partition="3", ends_in=0.5))
    (incident,) = await eventually(lambda: it.pager.incidents("resolved"))
    assert it.receiver.bodies == []
    await eventually(lambda: it.receiver.has(1))
    assert (it.receiver.at[0] - parse_rfc3339(incident["openedAt"])).total_seconds() >= 0.8
    await eventually(lambda: it.receiver.has(2))
    assert it.receiver.statuses() == ["firing", "resolved"]
    await it.push(alert(partition="4"))
    put(it.board)
    await eventually(lambda: it.receiver.has(3))
    (incident,) = await it.pager.incidents("open")
    assert (it.receiver.at[2] - parse_rfc3339(incident["openedAt"])).total_seconds() < 0.8


async def test_late_news_do_not_turn_time_back(it: Paged) -> None:
    sent = alert(partition="3")
    await it.push(sent)
    await it.end(sent)
    await it.push(alert(partition="4"))
    await eventually(lambda: it.receiver.has(1))
    before = it.receiver.statuses()
    put(it.board, fault("late-notifications", delayLabMinutes=100, alert="Orders*"))
    await it.push(alert("Other", partition="5"))
    await eventually(lambda: it.receiver.has(len(before) + 1))
    assert it.receiver.bodies[-1]["commonLabels"]["alertname"] == "Other"


async def test_late_alerts_open_late_and_are_let_in_at_the_end(it: Paged) -> None:
    put(it.board, fault("late-notifications", delayLabMinutes=3, hop="alerts"))
    await it.push(alert(partition="3"))
    assert await it.pager.incidents() == []
    (incident,) = await eventually(lambda: it.open(1))
    late = parse_rfc3339(incident["openedAt"]) - parse_rfc3339(incident["startsAt"])
    assert late.total_seconds() >= 0.6
    put(it.board, fault("late-notifications", delayLabMinutes=100, hop="alerts"))
    await it.push(alert(partition="4"))
    assert len(await it.pager.incidents()) == 1
    put(it.board)
    await eventually(lambda: it.open(2))


async def test_a_resolved_alert_fires_again_as_a_new_episode(it: Paged) -> None:
    put(it.board, fault("refired-alerts", afterLabMinutes=1, forLabMinutes=3))
    sent = alert(partition="3")
    await it.push(sent)
    await it.end(sent)
    (again,) = await eventually(lambda: it.open(1))
    (first,) = await it.pager.incidents("resolved")
    assert again["fingerprint"] == first["fingerprint"]
    assert again["startsAt"] > first["startsAt"]
    await eventually(it.none_open)
    await eventually(lambda: it.receiver.has(2))
    assert await it.history("fault:") == []
    put(it.board)
    (line,) = await eventually(lambda: it.history("fault:refired-alerts-0001"))
    assert (line["incident"], line["kind"]) == (again["id"], "note")
    await it.push(sent | {"startsAt": datetime.now(UTC).isoformat()})
    assert len(await it.pager.incidents()) == 3


async def test_a_truncated_notification_says_how_much_it_leaves_out(it: Paged) -> None:
    put(it.board, fault("truncated-notifications", maxAlerts=1))
    for partition in ("1", "2", "3"):
        await it.push(alert(partition=partition))
    await eventually(lambda: it.receiver.has(3))
    last = it.receiver.bodies[-1]
    assert last["truncatedAlerts"] == 2
    assert [item["labels"]["partition"] for item in last["alerts"]] == ["1"]
    assert last["groupLabels"] == {"alertname": "OrdersWaitingTooLong"}
    assert last["groupKey"] == '{}:{alertname="OrdersWaitingTooLong"}'
    assert last["commonLabels"]["partition"] == "1"
    put(it.board)
    await it.push(alert(partition="4"))
    await eventually(lambda: it.receiver.has(4))
    last = it.receiver.bodies[-1]
    assert (last["truncatedAlerts"], last["alerts"][0]["labels"]["partition"]) == (0, "4")


async def test_a_storm_ends_with_its_fault_and_is_known_for_what_it_was(it: Paged) -> None:
    storm = fault("alert-storm", count=25, spreadLabMinutes=1)
    put(it.board, storm)
    await it.push(alert(partition="3"))
    opened = await eventually(lambda: it.open(26))
    await eventually(lambda: it.receiver.has(26))
    assert len({one["labels"].get("service") for one in opened}) > 5
    by_hand = next(one["id"] for one in opened if "service" in one["labels"])
    await it.pager.call("POST", f"/api/v1/incidents/{by_hand}/resolve", {"by": "me"})
    assert await it.history("fault:") == []
    put(it.board)
    (left,) = await eventually(lambda: it.open(1))
    assert left["labels"]["partition"] == "3"
    lines = await it.history(f"fault:{storm.id}")
    assert len(lines) == 25
    assert {line["incident"] for line in lines if line["kind"] == "note"} == {by_hand}
    resolved = await it.pager.incidents("resolved")
    assert {one["resolvedBy"] for one in resolved} == {"me", f"fault:{storm.id}"}


async def test_a_storm_ends_with_its_lease(it: Paged) -> None:
    put(it.board, fault("alert-storm", count=5, spreadLabMinutes=0, seconds=1.5))
    await eventually(lambda: it.open(5))
    await eventually(it.none_open)
    assert len(await it.history("fault:")) == 5


async def test_a_restarted_pager_still_knows_what_was_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board("pager", CLOCK)
    put(board, fault("alert-storm", count=5, spreadLabMinutes=0))
    async with paged(board, tmp_path) as it:
        await eventually(lambda: it.open(5))
    async with paged(board, tmp_path) as it:
        assert len(await it.pager.incidents("open")) == 5
    put(board)
    monkeypatch.setattr(trouble, "ORPHAN_SECONDS", 0.0)
    async with paged(board, tmp_path) as it:
        await eventually(it.none_open)
        assert len(await it.history("fault:")) == 5


async def test_an_alert_flaps_whatever_is_true(it: Paged) -> None:
    flapping = fault("flapping-alert", partition=5, firingLabMinutes=2, resolvedLabMinutes=2)
    put(it.board, flapping)
    await eventually(lambda: it.receiver.has(5), 15)
    assert it.receiver.statuses()[:5] == ["firing", "resolved", "firing", "resolved", "firing"]
    items = [body["alerts"][0] for body in it.receiver.bodies]
    assert len({item["startsAt"] for item in items}) >= 3
    assert {item["labels"]["partition"] for item in items} == {"5"}
    put(it.board)
    await eventually(it.none_open)
    episodes = await it.pager.incidents()
    assert {line["incident"] for line in await it.history("fault:")} == {one["id"] for one in episodes}
    real = alert(partition="5")
    await it.push(real)
    assert len(await it.pager.incidents("open")) == 1


async def test_an_end_is_withheld_until_the_fault_is_over(it: Paged) -> None:
    put(it.board, fault("never-resolves"))
    withheld, forgotten = alert(partition="3"), alert(partition="4", ends_in=0.8)
    await it.push(withheld, forgotten)
    await it.end(withheld)
    await it.push(alert("Other", partition="9") | {"endsAt": None})
    await eventually(lambda: _leases_would_be_over(forgotten))
    assert len(await it.pager.incidents("open")) == 3
    put(it.board)
    await eventually(it.none_open)
    assert sorted(it.receiver.statuses()[:3]) == ["firing"] * 3


async def _leases_would_be_over(sent: dict[str, Any]) -> bool:
    return (datetime.now(UTC) - parse_rfc3339(sent["endsAt"])).total_seconds() > 0.6


async def test_a_row_that_is_not_whole_is_left_alone(it: Paged) -> None:
    broken = FaultRow("alert-storm-0009", "alert-storm", "pager", {}, None, 1)
    unknown = FaultRow("other-0001", "other", "pager", {}, None, 1)
    put(it.board, broken, unknown)
    await it.push(alert(partition="3"))
    await eventually(lambda: it.receiver.has(1))
    assert len(await it.pager.incidents()) == 1


def test_a_storm_is_the_same_for_the_same_seed_and_no_alert_twice() -> None:
    storm = fault("alert-storm", count=300)
    alerts = storm_alerts(storm)
    assert alerts == storm_alerts(storm)
    assert len({tuple(one.labels.items()) for one in alerts}) == 300
    assert alerts != storm_alerts(fault("alert-storm", count=300, seed=8))
