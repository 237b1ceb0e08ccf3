"""Whatever people and programs do in whatever order: the rules hold, and a restart changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pager_harness import VirtualClock, new_book, running_pager

from lab.core.approval import Approval, ApprovalStatus, Deed
from lab.core.escalation import Escalation
from lab.core.seed import stream
from lab.errors import UsageError
from lab.pager.alerts import Alert
from lab.pager.book import Book
from lab.pager.people import same_person
from lab.pager.values import DeadLetter, Handover, LetterStatus, Level, Silence

calm = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None, database=None
)
PEOPLE = ("ann", "human:Ann", "bob", "bot", "human:oncall")


def fire(book: Book, by: str) -> None:
    labels = {"alertname": "A", "severity": "critical", "who": by}
    book.episodes.receive([Alert(labels, {}, None, book.store.clock.now() + timedelta(seconds=40))])


def silence(book: Book, by: str) -> None:
    now = book.store.clock.now()
    book.silences.put(Silence("", _matcher(by), now, now + timedelta(seconds=20), by, "", now))


def _matcher(by: str) -> Any:
    from lab.pager.matchers import parse_matchers

    return parse_matchers({"who": by})


def newest(table: dict[str, Any]) -> str:
    return next(reversed(table), "none")


DEEDS: dict[str, Callable[[Book, str], Any]] = {
    "fire": fire,
    "silence": silence,
    "unsilence": lambda book, by: book.silences.expire(newest(book.store.state.silences), by),
    "acknowledge": lambda book, by: book.incidents.acknowledge(newest(book.store.state.incidents), by),
    "resolve": lambda book, by: book.incidents.resolve(newest(book.store.state.incidents), by),
    "escalate": lambda book, by: book.escalations.escalate(
        by, "help", None, next(iter(book.store.state.open.values()), "")
    ),
    "take": lambda book, by: book.escalations.acknowledge(newest(book.store.state.escalations), by),
    "ask": lambda book, by: book.approvals.request(by, Deed("delete", "", "pods", "", "shop", by), "why", ""),
    "approve": lambda book, by: book.approvals.approve(newest(book.store.state.approvals), by, "", 5.0),
    "refuse": lambda book, by: book.approvals.refuse(newest(book.store.state.approvals), by, "no"),
    "use": lambda book, by: book.approvals.use(newest(book.store.state.approvals), by),
    "give up": lambda book, by: book.dead_letters.add(by, "work", {"by": by}),
    "replay": lambda book, by: book.dead_letters.replay(newest(book.store.state.dead_letters), by),
    "done": lambda book, by: book.dead_letters.done(newest(book.store.state.dead_letters), by),
    "discard": lambda book, by: book.dead_letters.discard(newest(book.store.state.dead_letters), by, "x"),
    "hand over": lambda book, by: book.roster.hand_over(book.roster.primary, by),
    "ladder": lambda book, by: book.ladder.set_levels(by, [Level("a", by, 3.0), Level("b", "bob", 3.0)]),
}
PAUSES = st.sampled_from([0.0, 0.0, 1.0, 9.0, 16.0])
STEP = st.tuples(st.sampled_from(sorted(DEEDS)), st.sampled_from(PEOPLE), PAUSES)
EVENING = st.lists(STEP, min_size=20, max_size=50)


def tables(book: Book) -> dict[str, Any]:
    state = book.store.state
    return {
        "incidents": [i.as_dict() | {"endsAt": None} for i in state.incidents.values()],
        "open": state.open,
        "history": list(state.history),
        "escalations": state.escalations,
        "approvals": state.approvals,
        "dead letters": state.dead_letters,
        "silences": state.silences,
        "levels": state.levels,
        "handovers": list(state.handovers),
    }


@calm
@given(EVENING)
def test_the_rules_hold_in_any_order_and_a_restart_changes_nothing(
    tmp_path: Path, steps: list[tuple[str, str, float]]
) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    clock = VirtualClock()
    book = new_book(clock, path)
    for deed, by, pause in steps:
        before = dict(book.store.state.approvals)
        try:
            DEEDS[deed](book, by)
        except UsageError:
            pass
        _approvals_keep_the_rules(before, book.store.state.approvals)
        clock.advance(pause)
        book.tick()
    _values_survive_the_wire(book)
    assert tables(new_book(clock, path)) == tables(book)
    assert book.ladder.levels
    open_ones = set(book.store.state.open.values())
    for escalation in book.ladder.unanswered():
        assert not escalation.incident or escalation.incident in open_ones
    for incident in book.store.state.incidents.values():
        assert all(copy == book.escalations.get(copy.id) for copy in incident.escalations)


def _approvals_keep_the_rules(before: dict[str, Approval], after: dict[str, Approval]) -> None:
    allowed = {
        ApprovalStatus.PENDING: set(ApprovalStatus) - {ApprovalStatus.USED},
        ApprovalStatus.APPROVED: {ApprovalStatus.APPROVED, ApprovalStatus.USED, ApprovalStatus.EXPIRED},
    }
    for identity, approval in after.items():
        was = before.get(identity)
        if was is not None:
            assert approval.status in allowed.get(was.status, {was.status})
        if approval.decided_by:
            assert not same_person(approval.decided_by, approval.requested_by)
        if approval.status is ApprovalStatus.USED:
            assert approval.decided_at
            assert approval.used_at
            assert approval.decided_at <= approval.used_at < approval.expires_at


def _values_survive_the_wire(book: Book) -> None:
    state = book.store.state
    for kind, values in (
        (Escalation, state.escalations.values()),
        (Approval, state.approvals.values()),
        (DeadLetter, state.dead_letters.values()),
        (Silence, state.silences.values()),
        (Handover, state.handovers),
        (Level, state.levels),
    ):
        for value in values:
            assert kind.from_dict(value.as_dict()) == value  # type: ignore[attr-defined]
    assert all(letter.attempts >= 1 for letter in state.dead_letters.values())
    assert {letter.status for letter in state.dead_letters.values()} <= set(LetterStatus)


# The wire


WORDS = ("", "x", "\u0000", "\ud83d", "y" * 9000, "2026-03-01T12:00:00Z")


def any_json(chance: random.Random, depth: int = 0) -> Any:
    leaves: list[Any] = [None, True, 0, -1, 1e308, *WORDS]
    kind = chance.random()
    if depth > 2 or kind < 0.6:
        return chance.choice(leaves)
    if kind < 0.8:
        return [any_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice("abc"): any_json(chance, depth + 1) for _ in range(chance.randrange(4))}


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_body_is_a_fault_of_the_pager(seed: int) -> None:
    """Every operation that takes a body gets nonsense; every answer is one of the documented."""
    chance = stream(seed, "nonsense")
    headers = {"Authorization": "Bearer s3cret"}
    async with running_pager(token="s3cret") as pager:
        assert pager.contract is not None
        for path, methods in pager.contract.document["paths"].items():
            for method, operation in methods.items():
                content = operation.get("requestBody", {}).get("content")
                if not content:
                    continue
                fields = list(content["application/json"]["schema"].get("properties", {}))
                for _ in range(12):
                    body: Any = {name: any_json(chance) for name in fields if chance.random() < 0.9}
                    if not fields or chance.random() < 0.1:
                        body = any_json(chance)
                    url = path.replace("{id}", chance.choice(["inc-1", "%00", "..%2f", "x" * 300]))
                    code, media, text = await pager.any(method.upper(), url, body, headers)
                    assert code < 500, f"{method} {url} {body}: {code} {text}"
                    pager.contract.check(method.upper(), url, code, media, text)
