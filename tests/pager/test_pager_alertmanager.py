"""The Alertmanager v2 side: what Prometheus and amtool send, and how episodes are told apart."""

from __future__ import annotations

from typing import Any

import pytest
from pager_harness import PagerAt, VirtualClock, alert, new_book, running_pager

from lab.core.clock import rfc3339
from lab.pager.alerts import fingerprint, parse_alerts
from lab.pager.book import Book

START = "2026-03-01T11:59:50Z"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def book(clock: VirtualClock) -> Book:
    return new_book(clock)


def push(book: Book, *, starts: str | None = START, ends_in: float | None = 20, **labels: str) -> None:
    item: dict[str, Any] = {"labels": {"alertname": "A", "severity": "critical", **labels}}
    if starts:
        item["startsAt"] = starts
    if ends_in is not None:
        now = book.store.clock.now()
        item["endsAt"] = rfc3339(now.fromtimestamp(now.timestamp() + ends_in, tz=now.tzinfo))
    alerts, problems = parse_alerts([item])
    assert not problems
    book.episodes.receive(alerts)


def statuses(book: Book) -> list[str]:
    return [incident.status.value for incident in book.store.state.incidents.values()]


def test_the_fingerprint_is_alertmanagers() -> None:
    # From prometheus/common: the empty set hashes to the FNV-1a offset basis.
    assert fingerprint({}) == "cbf29ce484222325"
    assert fingerprint({"b": "2", "a": "1"}) == fingerprint({"a": "1", "b": "2"})
    assert fingerprint({"a": "1b"}) != fingerprint({"a1": "b"})


def test_a_repeated_push_renews_the_lease_of_one_incident(book: Book, clock: VirtualClock) -> None:
    for _ in range(10):
        push(book)
        clock.advance(15)
        book.tick()
    assert statuses(book) == ["triggered"]
    assert [entry.kind for entry in book.store.state.history if entry.kind != "level"] == ["opened"]


def test_an_incident_ends_when_the_push_says_so(book: Book) -> None:
    push(book)
    push(book, ends_in=-1)
    push(book, ends_in=-1)
    (incident,) = book.store.state.incidents.values()
    assert (incident.status.value, incident.resolved_by) == ("resolved", "alert")
    assert [entry.kind for entry in book.store.state.history] == ["opened", "resolved"]


def test_an_incident_ends_when_its_lease_does(book: Book, clock: VirtualClock) -> None:
    push(book, ends_in=20)
    clock.advance(19.9)
    book.tick()
    assert statuses(book) == ["triggered"]
    clock.advance(0.2)
    book.tick()
    assert statuses(book) == ["resolved"]


def test_without_endsat_the_resolve_timeout_counts(book: Book, clock: VirtualClock) -> None:
    push(book, starts=None, ends_in=None)
    clock.advance(4)
    push(book, starts=None, ends_in=None)
    clock.advance(4)
    book.tick()
    assert statuses(book) == ["triggered"]
    clock.advance(2)
    book.tick()
    assert statuses(book) == ["resolved"]


def test_an_alert_that_fires_again_is_a_new_incident(book: Book, clock: VirtualClock) -> None:
    push(book)
    push(book, ends_in=-1)
    clock.advance(3)
    push(book, starts=rfc3339(clock.now()))
    assert statuses(book) == ["resolved", "triggered"]
    opened = [entry for entry in book.store.state.history if entry.kind == "opened"]
    assert opened[0].data["recurrence"] == 0
    assert (opened[1].data["recurrence"], opened[1].data["after"]) == (1, opened[0].incident)
    assert "fires again" in opened[1].text


def test_a_restarted_prometheus_does_not_page_twice(book: Book, clock: VirtualClock) -> None:
    push(book)
    clock.advance(5)
    push(book, starts=rfc3339(clock.now()))
    assert statuses(book) == ["triggered"]


def test_a_late_message_does_not_end_the_next_episode(book: Book, clock: VirtualClock) -> None:
    push(book)
    push(book, ends_in=-1)
    clock.advance(30)
    push(book, starts=rfc3339(clock.now()))
    clock.advance(1)
    push(book, ends_in=-25)
    assert statuses(book) == ["resolved", "triggered"]


def test_closing_a_page_by_hand_does_not_silence_it(book: Book, clock: VirtualClock) -> None:
    push(book)
    (identity,) = book.store.state.incidents
    book.incidents.resolve(identity, "bot")
    for _ in range(2):
        clock.advance(5)
        push(book)
    assert statuses(book) == ["resolved"]
    clock.advance(5)
    push(book)
    assert statuses(book) == ["triggered"]
    assert book.store.state.history[-1].kind == "reopened"


def test_the_heartbeat_opens_nothing(book: Book, clock: VirtualClock) -> None:
    alerts, _ = parse_alerts([{"labels": {"alertname": "Watchdog", "severity": "none"}}])
    book.episodes.receive(alerts)
    assert not book.store.state.incidents
    assert book.episodes.heard_at == clock.now()


def test_a_start_in_the_future_is_now(book: Book, clock: VirtualClock) -> None:
    push(book, starts="2026-03-01T12:00:10Z")
    assert next(iter(book.store.state.incidents.values())).starts_at == clock.now()


async def test_amtool_can_list_and_filter(pager: PagerAt) -> None:
    await pager.call("POST", "/api/v2/alerts", [alert(partition="1"), alert(partition="2")])
    (found,) = await pager.call("GET", '/api/v2/alerts?filter=partition%3D"2"')
    assert found["labels"]["partition"] == "2"
    assert found["status"] == {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []}
    assert set(found) >= {"annotations", "endsAt", "fingerprint", "receivers", "startsAt", "updatedAt"}
    assert len(await pager.call("GET", '/api/v2/alerts?filter=partition=~"1|2"')) == 2
    await pager.call("GET", "/api/v2/alerts?filter=nonsense", expect=400)
    status = await pager.call("GET", "/api/v2/status")
    assert set(status) == {"cluster", "versionInfo", "config", "uptime"}


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({}, "alertname is missing"),
        (7, "must be an object"),
        ({"labels": {"alertname": 1}}, "must be a string"),
        ({"labels": {"alertname": "A", "a-b": "x"}}, "not a name"),
        ({"labels": {"alertname": "A", "x": "y" * 2000}}, "2000 characters"),
        ({"labels": {"alertname": "A"} | {f"l{n}": "x" for n in range(80)}}, "81 labels"),
        ({"labels": {"alertname": "A"}, "startsAt": "yesterday"}, "RFC 3339"),
        (
            {
                "labels": {"alertname": "A"},
                "startsAt": "2026-01-02T00:00:00Z",
                "endsAt": "2026-01-01T00:00:00Z",
            },
            "before startsAt",
        ),
    ],
)
async def test_a_bad_alert_spoils_no_good_one(pager: PagerAt, item: Any, says: str) -> None:
    answer = await pager.call("POST", "/api/v2/alerts", [item, alert()], expect=400)
    assert says in answer
    assert len(await pager.incidents()) == 1


async def test_a_flood_of_alerts_has_a_limit() -> None:
    async with running_pager() as pager:
        for batch in range(2):
            alerts = [alert(partition=f"{batch}-{n}") for n in range(600)]
            await pager.call("POST", "/api/v2/alerts", alerts, expect=400 if batch else 200)
        assert len(await pager.incidents("open")) == 1000
