"""Notifications of an Alertmanager: what they mean, what is refused, and the real one in between."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from pager_harness import PagerAt, VirtualClock, eventually, new_book
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock, TimeScale, rfc3339
from lab.localkube.images.alertmanager import find_alertmanager
from lab.localkube.images.launch import StartError
from lab.pager.alerts import parse_alerts
from lab.pager.book import Book
from lab.pager.notifications import parse_notification
from lab.pager.server import pager_app
from lab.slo.alertmanager import alertmanager_config

ZERO = "0001-01-01T00:00:00Z"
START = "2026-03-01T11:59:50Z"
BLOCK = f"127.4.{os.getpid() % 250}"
PAGER_IP, ALERTMANAGER_IP = f"{BLOCK}.1", f"{BLOCK}.2"
SCALE = TimeScale(60.0)


def told(status: str, partition: str = "3", **more: Any) -> dict[str, Any]:
    """One alert of a notification."""
    return {
        "status": status,
        "labels": {"alertname": "OrdersWaitingTooLong", "severity": "critical", "partition": partition},
        "annotations": {"summary": f"partition {partition}"},
        "startsAt": START,
        "endsAt": ZERO if status == "firing" else "2026-03-01T11:59:59Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "0123456789abcdef",
    } | more


def notification(*alerts: Any, **more: Any) -> dict[str, Any]:
    firing = any(isinstance(alert, dict) and alert.get("status") == "firing" for alert in alerts)
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "pager",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": list(alerts),
    } | more


def receive(book: Book, *alerts: dict[str, Any]) -> None:
    found, problems = parse_notification(notification(*alerts), book.store.clock.now())
    assert problems == []
    book.episodes.receive(found)


def statuses(book: Book) -> list[str]:
    return [incident.status.value for incident in book.store.state.incidents.values()]


def test_it_fires_until_it_is_told_otherwise() -> None:
    clock = VirtualClock()
    book = new_book(clock)
    receive(book, told("firing"))
    for _ in range(5):
        clock.advance(3600)
        book.tick()
    assert statuses(book) == ["triggered"]
    receive(book, told("resolved"))
    (incident,) = book.store.state.incidents.values()
    assert (incident.status.value, incident.resolved_by) == ("resolved", "alert")


def test_a_repeated_one_pages_once() -> None:
    book = new_book(VirtualClock())
    for _ in range(3):
        receive(book, told("firing"), told("firing", "4"))
    for _ in range(2):
        receive(book, told("resolved"), told("firing", "4"))
    assert statuses(book) == ["resolved", "triggered"]
    assert [entry.kind for entry in book.store.state.history] == ["opened", "opened", "resolved"]


def test_a_restarted_pager_waits_for_word_too(tmp_path: Path) -> None:
    clock = VirtualClock()
    receive(new_book(clock, tmp_path / "pager.jsonl"), told("firing"))
    again = new_book(clock, tmp_path / "pager.jsonl")
    clock.advance(3600)
    again.tick()
    assert statuses(again) == ["triggered"]
    receive(again, told("firing"))
    receive(again, told("resolved"))
    assert statuses(again) == ["resolved"]


def test_an_end_that_lies_ahead_is_now() -> None:
    clock = VirtualClock()
    book = new_book(clock)
    receive(book, told("firing"))
    receive(book, told("resolved", endsAt="2026-03-01T12:00:30Z"))
    assert statuses(book) == ["resolved"]


def test_prometheus_may_push_the_same_alert_as_well() -> None:
    """Whoever gives a lease last decides how long it goes on unsaid."""
    clock = VirtualClock()
    book = new_book(clock)
    receive(book, told("firing"))
    lease = rfc3339(clock.now() + timedelta(seconds=20))
    receive_push = [told("firing") | {"endsAt": lease}]
    book.episodes.receive(parse_alerts(receive_push)[0])
    receive(book, told("firing"))
    clock.advance(60)
    book.tick()
    assert statuses(book) == ["triggered"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "must be an object"),
        (notification(version="3"), "version must be '4'"),
        ({"version": "4"}, "alerts must be a list"),
        (notification(7), "alert 0: status"),
        (notification(told("pending")), "alert 0: status must be firing or resolved"),
        (notification(told("firing"), told("firing", labels={})), "alert 1: the label alertname"),
        (notification(told("firing"), truncatedAlerts=2), "2 alerts were cut off"),
    ],
)
async def test_what_is_wrong_is_said_and_the_rest_counts(pager: PagerAt, body: Any, says: str) -> None:
    answer = await pager.call("POST", "/api/v1/alertmanager", body, expect=400)
    assert says in str(answer)
    valid = isinstance(body, dict) and any(
        isinstance(item, dict) and item["status"] == "firing" and item["labels"]
        for item in body.get("alerts", ())
    )
    assert len(await pager.incidents()) == int(valid)


async def test_over_the_wire(pager: PagerAt) -> None:
    assert await pager.call("POST", "/api/v1/alertmanager", notification(told("firing"))) == {}
    (incident,) = await pager.incidents("open")
    assert incident["endsAt"] is None
    (listed,) = await pager.call("GET", "/api/v2/alerts")
    assert listed["labels"]["partition"] == "3"
    await pager.call("POST", "/api/v1/alertmanager", notification(told("resolved")))
    assert await pager.incidents("open") == []


def grouped(name: str, text: str) -> str:
    """The lab's configuration, but grouped by alert name as people do."""
    config = yaml.safe_load(text)
    if name == "grouped":
        config["route"]["group_by"] = ["alertname"]
    return yaml.safe_dump(config)


@asynccontextmanager
async def alertmanager(folder: Path, config: str) -> AsyncIterator[str]:
    try:
        binary = find_alertmanager()
    except StartError as error:
        pytest.skip(str(error))
    (folder / "alertmanager.yml").write_text(config)
    process = await asyncio.create_subprocess_exec(
        str(binary),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={ALERTMANAGER_IP}:9093",
        "--cluster.listen-address=",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://{ALERTMANAGER_IP}:9093"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def pager_behind(posts: list[dict[str, Any]], folder: Path) -> AsyncIterator[None]:
    """A pager, with what it is sent noted."""

    @web.middleware
    async def noting(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path == "/api/v1/alertmanager":
            posts.append(json.loads(await request.read()))
        answer: web.StreamResponse = await handler(request)
        return answer

    app = pager_app(clock=SystemClock(), scale=SCALE, registry=CollectorRegistry(), data=folder / "pager")
    app.middlewares.append(noting)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, PAGER_IP, 8080).start()
        yield
    finally:
        await runner.cleanup()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["as the lab has it", "grouped"])
async def test_through_a_real_alertmanager(tmp_path: Path, name: str) -> None:
    posts: list[dict[str, Any]] = []
    config = grouped(name, alertmanager_config(addresses={"lab-system/pager": PAGER_IP}))
    async with (
        pager_behind(posts, tmp_path),
        alertmanager(tmp_path, config) as url,
        aiohttp.ClientSession() as session,
    ):
        pager = PagerAt(f"http://{PAGER_IP}:8080", session)
        began = datetime.now(UTC)

        async def push(*partitions: str, ended: bool = False) -> bool:
            """As Prometheus does; False while nobody listens."""
            now = datetime.now(UTC)
            alerts = [
                {
                    "labels": told("firing", partition)["labels"],
                    "annotations": {"summary": f"partition {partition}"},
                    "startsAt": rfc3339(began),
                    "endsAt": rfc3339(now if ended else now + timedelta(minutes=5)),
                }
                for partition in partitions
            ]
            try:
                async with session.post(f"{url}/api/v2/alerts", json=alerts) as answer:
                    return answer.status == 200
            except aiohttp.ClientConnectionError:
                return False

        async def opened() -> set[str]:
            return {incident["labels"]["partition"] for incident in await pager.incidents("open")}

        async def open_are(*partitions: str) -> None:
            async def so() -> bool:
                return await opened() == set(partitions)

            await eventually(so, 60)

        await eventually(lambda: push("1", "2"), 60)
        await open_are("1", "2")
        assert await push("3")
        await open_are("1", "2", "3")

        async def repeated() -> bool:
            return sum(post["status"] == "firing" for post in posts) >= 6

        await eventually(repeated, 60)
        assert len(await pager.incidents()) == 3
        assert await push("1", ended=True)
        await open_are("2", "3")
        assert await push("2", "3", ended=True)
        await open_are()
        assert {incident["resolvedBy"] for incident in await pager.incidents()} == {"alert"}
        history = (await pager.call("GET", "/api/v1/history"))["entries"]
        assert [entry["kind"] for entry in history].count("opened") == 3
