"""The escalation ladder and the people on it. A lab minute is a second of a clock that the tests move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pager_harness import PagerAt, VirtualClock, alert, new_book, running_pager

from lab.core.clock import rfc3339
from lab.core.incident import Incident
from lab.errors import UsageError
from lab.pager.alerts import parse_alerts
from lab.pager.book import Book
from lab.pager.store import WrongState
from lab.pager.values import Level

ADMIN = {"Authorization": "Bearer s3cret"}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def book(clock: VirtualClock) -> Book:
    return new_book(clock)


def fire(book: Book, **labels: str) -> Incident:
    now = book.store.clock.now()
    ends_at = rfc3339(now.replace(year=now.year + 1))
    item = {"labels": {"alertname": "A", "severity": "critical", **labels}, "endsAt": ends_at}
    alerts, problems = parse_alerts([item])
    assert not problems
    book.episodes.receive(alerts)
    return list(book.store.state.incidents.values())[-1]


def level_of(book: Book, identity: str) -> tuple[int, str, bool]:
    rung = book.store.incident(identity).ladder
    assert rung
    return rung.level, rung.person, rung.exhausted_at is not None


def levels_told(book: Book) -> list[str]:
    return [entry.text for entry in book.store.state.history if entry.kind == "level"]


def test_a_page_that_nobody_answers_climbs_and_the_end_is_said(book: Book, clock: VirtualClock) -> None:
    identity = fire(book).id
    seen = []
    for _ in range(5):
        seen.append(level_of(book, identity))
        clock.advance(15)
        book.tick()
    assert seen == [
        (1, "human:oncall", False),
        (2, "human:secondary", False),
        (3, "human:manager", False),
        (3, "human:manager", True),
        (3, "human:manager", True),
    ]
    told = levels_told(book)
    assert len(told) == 3
    assert "no answer from primary on-call human:oncall; calling secondary on-call" in told[0]
    assert "the ladder is exhausted, nobody is left to call" in told[-1]


def test_an_acknowledgement_stops_the_ladder(book: Book, clock: VirtualClock) -> None:
    identity = fire(book).id
    clock.advance(14.9)
    book.tick()
    book.incidents.acknowledge(identity, "ann")
    clock.advance(60)
    book.tick()
    assert level_of(book, identity) == (1, "human:oncall", False)


def test_a_ticket_calls_nobody(book: Book, clock: VirtualClock) -> None:
    incident = fire(book, severity="warning")
    assert incident.ladder is None
    clock.advance(60)
    book.tick()
    assert levels_told(book) == []


def test_a_page_that_fires_again_starts_at_the_bottom(book: Book, clock: VirtualClock) -> None:
    identity = fire(book).id
    clock.advance(20)
    book.tick()
    book.incidents.resolve(identity, "bot")
    clock.advance(20)
    item = {"labels": {"alertname": "A", "severity": "critical"}, "startsAt": "2026-03-01T12:00:00Z"}
    book.episodes.receive(parse_alerts([item])[0])
    assert book.store.incident(identity).is_open
    assert level_of(book, identity) == (1, "human:oncall", False)


def test_an_escalation_climbs_until_somebody_else_takes_it(book: Book, clock: VirtualClock) -> None:
    identity = fire(book).id
    book.incidents.acknowledge(identity, "bot")
    escalation = book.escalations.escalate("bot", "cannot", None, identity)
    clock.advance(15)
    book.tick()
    (copy,) = book.store.incident(identity).escalations
    assert copy == book.escalations.get(escalation.id)
    assert copy.ladder
    assert (copy.ladder.level, copy.ladder.name) == (2, "secondary on-call")
    book.incidents.acknowledge(identity, "bot")  # the one who handed it over does not take it
    assert book.escalations.get(escalation.id).is_open
    book.incidents.acknowledge(identity, "ann")
    (copy,) = book.store.incident(identity).escalations
    assert copy.acknowledged_by == "ann"
    assert copy == book.escalations.get(escalation.id)
    assert book.store.incident(identity).acknowledged_by == "bot"
    clock.advance(60)
    book.tick()
    assert len(levels_told(book)) == 1


def test_an_escalation_whose_incident_is_over_calls_nobody(book: Book, clock: VirtualClock) -> None:
    identity = fire(book).id
    book.escalations.escalate("bot", "cannot", None, identity)
    book.incidents.resolve(identity, "ann")
    clock.advance(60)
    book.tick()
    assert levels_told(book) == []
    assert book.ladder.unanswered() == []


def test_the_ladder_survives_a_restart(tmp_path: Path, clock: VirtualClock) -> None:
    book = new_book(clock, tmp_path / "j")
    identity = fire(book).id
    escalation = book.escalations.escalate("bot", "odd")
    book.ladder.set_levels("ann", [Level("first", "ann", 5), Level("last", "bob", 5)])
    clock.advance(5)
    book.tick()
    again = new_book(clock, tmp_path / "j")
    assert again.ladder.levels == book.ladder.levels
    assert level_of(again, identity) == (2, "bob", False)
    assert again.escalations.get(escalation.id) == book.escalations.get(escalation.id)


def test_a_hand_over_changes_who_is_called_and_writes_the_open_work_down(
    book: Book, clock: VirtualClock
) -> None:
    first = fire(book, partition="3").id
    second = fire(book, partition="4").id
    book.incidents.acknowledge(second, "bot")
    handover = book.roster.hand_over("human:oncall", "ann", "calm night")
    assert book.roster.primary == "ann"
    assert handover.summary == (
        f"2 open incidents; {first} A{{partition=3}} not acknowledged; "
        f"{second} A{{partition=4}} acknowledged by bot."
    )
    assert book.store.state.history[-1].kind == "handover"
    assert "human:oncall hands over to ann (calm night)" in book.store.state.history[-1].text
    third = fire(book, partition="5").id
    assert level_of(book, third)[1] == "ann"
    with pytest.raises(WrongState, match="human:oncall is not on call"):
        book.roster.hand_over("human:oncall", "bob")
    with pytest.raises(UsageError, match="one person to another"):
        book.roster.hand_over("ann", "human:Ann ")
    book.roster.hand_over("human:manager", "carol")
    assert [level.person for level in book.ladder.levels] == ["ann", "human:secondary", "carol"]


async def test_ladder_and_roster_over_http() -> None:
    async with running_pager(token="s3cret") as pager:
        (await pager.call("POST", "/api/v2/alerts", [alert(partition="3")]))
        levels = [{"name": "first", "person": "ann", "labMinutes": 2}]
        await pager.call("PUT", "/api/v1/ladder", {"by": "ann", "levels": levels}, expect=401)
        await pager.call("PUT", "/api/v1/ladder", {"by": "ann", "levels": levels}, headers=ADMIN)
        assert await pager.call("GET", "/api/v1/ladder") == {"levels": levels}
        body = {"from": "ann", "to": "bob", "note": "bye"}
        made = await pager.call("POST", "/api/v1/oncall/handover", body, expect=201)
        assert (made["from"], made["to"], made["note"]) == ("ann", "bob", "bye")
        on_call = await pager.call("GET", "/api/v1/oncall")
        assert (on_call["primary"], on_call["openIncidents"]) == ("bob", 1)
        assert on_call["handovers"] == [made]
        assert "1 open incident; inc-" in on_call["summary"]
        await pager.call("POST", "/api/v1/oncall/handover", body, expect=409)


async def test_only_the_human_hands_over_in_its_own_name() -> None:
    async with running_pager(token="s3cret") as pager:
        body = {"from": "human:oncall", "to": "bot"}
        await pager.call("POST", "/api/v1/oncall/handover", body, expect=403)
        await pager.call("POST", "/api/v1/oncall/handover", body, expect=201, headers=ADMIN)


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ([], "1 to 10 levels"),
        ([{"name": "x", "person": "y", "labMinutes": 1}] * 11, "1 to 10 levels"),
        ([{"name": "x", "person": "y", "labMinutes": 0}], "above 0"),
        ([{"name": "x", "person": "y", "labMinutes": "soon"}], "must be a number"),
        ([{"name": "x", "person": "", "labMinutes": 1}], "person is missing"),
        (["x"], "must be an object"),
        ({}, "must be a list"),
        (None, "levels is missing"),
    ],
)
async def test_a_broken_ladder_is_refused(levels: Any, says: str) -> None:
    async with running_pager(token="s3cret") as pager:
        body = {"by": "ann", "levels": levels}
        answer = await pager.call("PUT", "/api/v1/ladder", body, expect=400, headers=ADMIN)
        assert says in answer["error"]


async def test_an_escalation_is_taken_over_http(pager: PagerAt) -> None:
    made = await pager.call("POST", "/api/v1/escalations", {"by": "bot", "summary": "odd"}, expect=201)
    path = f"/api/v1/escalations/{made['id']}/acknowledge"
    answer = await pager.call("POST", path, {"by": "bot"}, expect=409)
    assert "somebody else has to take it" in answer["error"]
    taken = await pager.call("POST", path, {"by": "ann"})
    assert taken["acknowledgedBy"] == "ann"
    assert await pager.call("POST", path, {"by": "bob"}) == taken
    assert (await pager.call("GET", "/api/v1/escalations?status=open"))["escalations"] == []
    assert (await pager.call("GET", "/api/v1/escalations"))["escalations"] == [taken]
    await pager.call("POST", "/api/v1/escalations/esc-none/acknowledge", {"by": "ann"}, expect=404)


def test_levels_that_let_their_time_pass_are_counted(book: Book, clock: VirtualClock) -> None:
    fire(book)
    for _ in range(4):
        clock.advance(15)
        book.tick()
    counted = book.store.meters.registry.get_sample_value
    assert [counted("toil_escalation_timeouts_total", {"level": str(n)}) for n in (1, 2, 3)] == [1, 1, 1]
