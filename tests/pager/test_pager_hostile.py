"""Whatever a stranger sends: a refusal with a message, or a state that a restart rebuilds exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pager_harness import VirtualClock, new_book

from lab.core.incident import HistoryEntry, Incident
from lab.errors import UsageError
from lab.pager.alerts import parse_alerts
from lab.pager.api.actions import FIELDS, read_action
from lab.pager.book import Book
from lab.pager.fields import read_fields
from lab.pager.text import plain

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30)
calm = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None, database=None
)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["labels", "annotations", "startsAt", "endsAt", "generatorURL", "other"])
MOMENTS = st.sampled_from(
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T11:00:00.123456789+02:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ]
)
ALERTS = st.fixed_dictionaries(
    {
        "labels": st.fixed_dictionaries(
            {"alertname": st.sampled_from("ABC")}, optional={"partition": st.sampled_from("123")}
        )
    },
    optional={"startsAt": MOMENTS, "endsAt": MOMENTS, "annotations": st.just({"summary": "s"})},
)


@calm
@given(ANY_JSON | st.lists(st.dictionaries(KEYS, ANY_JSON | MOMENTS), max_size=3))
def test_any_body_is_alerts_or_problems(body: Any) -> None:
    alerts, problems = parse_alerts(body)
    if isinstance(body, list):
        assert len(alerts) + len(problems) == len(body)
    else:
        assert (alerts, len(problems)) == ([], 1)


@given(
    st.dictionaries(
        st.sampled_from(["by", "action", "target", "reason", "startedAt", "endedAt", "outcome"]),
        ANY_JSON | MOMENTS,
    )
)
def test_any_action_is_read_or_refused(body: dict[str, Any]) -> None:
    now = VirtualClock().now()
    try:
        action = read_action(read_fields(FIELDS, body), now)
    except UsageError:
        return
    assert action.seconds >= 0


@calm
@given(
    steps=st.lists(
        st.tuples(ALERTS, st.sampled_from(["", "ack", "resolve", "note", "escalate"]), st.floats(0, 30)),
        max_size=12,
    )
)
def test_a_restart_rebuilds_any_history(
    tmp_path: Path, steps: list[tuple[dict[str, Any], str, float]]
) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    clock = VirtualClock()
    book = new_book(clock, path)
    for alert, deed, pause in steps:
        alerts, _ = parse_alerts([alert])
        book.episodes.receive(alerts)
        _do(book, deed)
        clock.advance(pause)
        book.tick()
    again = new_book(clock, path)
    assert [_lasting(i) for i in again.store.state.incidents.values()] == [
        _lasting(i) for i in book.store.state.incidents.values()
    ]
    assert again.store.state.open == book.store.state.open
    assert list(again.store.state.history) == list(book.store.state.history)
    for incident in book.store.state.incidents.values():
        assert Incident.from_dict(incident.as_dict()) == incident
    for entry in book.store.state.history:
        assert HistoryEntry.from_dict(entry.as_dict()) == entry
    fingerprints = [i.fingerprint for i in book.store.state.incidents.values() if i.is_open]
    assert len(fingerprints) == len(set(fingerprints))


def _do(book: Book, deed: str) -> None:
    for identity in list(book.store.state.open.values())[:1]:
        if deed == "ack":
            book.incidents.acknowledge(identity, "ann")
        elif deed == "resolve":
            book.incidents.resolve(identity, "ann", "done")
        elif deed == "note":
            book.incidents.add_note(identity, "ann", "hm")
        elif deed == "escalate":
            book.escalations.escalate("ann", "help", {"x": [1]}, identity)


def _lasting(incident: Incident) -> dict[str, Any]:
    """All but what a renewed lease changes, which is kept in memory only."""
    return {k: v for k, v in incident.as_dict().items() if k not in ("endsAt", "annotations")}


@calm
@given(st.text())
def test_no_text_leaves_its_line(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert len(shown) <= 400


@pytest.mark.parametrize(
    "lines", [b"\x00\x01\n", b'"text"\n', b'{"kind": "nonsense", "value": {}}\n', b'{"kind": "incident"}\n']
)
def test_a_journal_of_nonsense_does_not_stop_the_pager(tmp_path: Path, lines: bytes) -> None:
    path = tmp_path / "journal"
    path.write_bytes(
        lines + b'{"kind":"status","value":{"at":"2026-03-01T12:00:00Z","by":"a","text":"kept"}}\n'
    )
    book = new_book(VirtualClock(), path)
    assert [post.text for post in book.store.state.posts] == ["kept"]
