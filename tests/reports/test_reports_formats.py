"""Tables, JUnit and HTML of one run agree, and none of them trusts the run's texts."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.verdict import Axis, CheckResult, Grade, Verdict
from lab.reports import text
from lab.reports.figures import activity
from lab.reports.html import html_report
from lab.reports.journal import RunJournal
from lab.reports.junit import junit_xml
from lab.reports.scorecard import findings, scorecard
from lab.reports.timeline import WIDTH, chart

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}\x00\x1b[31m"


def test_the_scorecard_has_four_axes_with_their_colours(grade: Grade, breached: Grade) -> None:
    scores = {score.axis: score for score in scorecard(grade)}
    assert list(scores) == list(Axis)
    assert {axis: score.colour for axis, score in scores.items()} == {
        Axis.IMPACT: "green",
        Axis.DEPTH: "grey",
        Axis.RISK: "red",
        Axis.CULTURE: "grey",
    }
    assert scores[Axis.RISK].failed[0].id == "decoys"
    assert scorecard(breached)[2].colour == "red"


def test_findings_come_worst_first(breached: Grade) -> None:
    assert [check.id for check in findings(breached)] == ["broken", "switch", "decoys", "late"]


def test_the_grade_table_says_what_to_do(grade: Grade) -> None:
    table = text.grade_table(grade)
    assert [row[0] for row in table.rows] == ["pass", "fail", "inconclusive", "error", "skipped"]
    assert [row[2] for row in table.rows] == ["25/25", "0/20", "-/10", "-/10", "-/5"]
    notes = "\n".join(table.notes)
    for part in (
        "25 of 45 points",
        "no request names a healthy worker",
        "#14 delete",
        "kubectl -n shop logs w3",
    ):
        assert part in notes


def test_the_ledger_table_says_where_its_figures_come_from(journal: RunJournal) -> None:
    assert journal.ledger is not None
    table = text.ledger_table(journal.ledger)
    assert [row[0] for row in table.rows] == ["before (measured)", "with automation (measured)"]
    notes = "\n".join(table.notes)
    for part in (
        "saved:",
        "quicker recovery is shown",
        "invested (declared): 40 hours",
        "5 handled by people",
    ):
        assert part in notes


def test_the_shadow_table_names_the_missing(journal: RunJournal) -> None:
    assert journal.episodes[1].shadow is not None
    table = text.shadow_table(journal.episodes[1].shadow)
    assert table.rows == (("hang of worker-1", "5", "8.2", "never"),)
    assert "verdict: promote" in table.notes[0]


def test_intents_are_readable(journal: RunJournal) -> None:
    (row,) = text.intents_table(journal.episodes[1].audit).rows
    assert row[1:] == ("delete pods worker-1 in shop", "INC-1", "hung", "200")


def test_activity_counts_the_log(journal: RunJournal) -> None:
    found = activity(journal.episodes)
    assert (found.reads, found.carried_out, found.shadowed, found.refused, found.failed) == (1, 1, 1, 1, 0)
    assert (found.attempts, found.successes, found.success) == (4, 4, 1.0)
    assert activity(()).success is None


def test_junit_keeps_fail_error_and_skipped_apart(grade: Grade, breached: Grade) -> None:
    root = ElementTree.fromstring(junit_xml(grade))
    assert {k: root.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "2",
        "skipped": "1",
    }
    assert [suite.get("name") for suite in root] == ["stuck-workers.live", "stuck-workers.checks"]
    assert [element.get("type") for element in root.iter("error")] == ["inconclusive", "error"]
    (failure,) = root.iter("failure")
    assert failure.get("type") == "recoverable"
    assert "kubectl -n shop logs w3" in (failure.text or "")
    values = {p.get("name"): p.get("value") for p in root[0].iter("property")}
    assert (values["earned"], values["possible"], values["seed"]) == ("25", "45", "7")
    types = [element.get("type") for element in ElementTree.fromstring(junit_xml(breached)).iter("failure")]
    assert "catastrophic" in types


@given(words=st.text(st.characters(exclude_categories=()), max_size=30))
@settings(max_examples=60)
def test_junit_carries_any_text(words: str) -> None:
    check = CheckResult(words, words, Axis.RISK, 1, Verdict.FAIL, seen=words, evidence=(words,), group=words)
    root = ElementTree.fromstring(junit_xml(Grade(words, words, 1, words, (check,))))
    assert root.get("tests") == "1"


class _Page(HTMLParser):
    """Collects what a browser would fetch or run, and checks that tags are balanced."""

    VOID = ("meta", "br", "img", "circle", "path", "line", "rect", "link", "input", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [
            (k, v) for k, v in attrs if k in ("src", "href", "srcset", "data") or k.startswith("on")
        ]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.VOID:
            return
        assert self.open.pop() == tag


def parsed(page: str) -> _Page:
    found = _Page()
    found.feed(page)
    found.close()
    assert found.open == []
    return found


def test_the_page_is_whole_and_fetches_nothing(journal: RunJournal) -> None:
    page = html_report(journal)
    found = parsed(page)
    assert found.fetched == []
    assert not found.tags & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"url\(|@import|https?://", page)
    for part in (
        "Scorecard",
        "Findings",
        "Timeline",
        "Toil ledger",
        "Impact",
        "kill switch on",
        "#14 delete pods/w3",
    ):
        assert part in page


@pytest.mark.parametrize("kind", ["run", "baseline"])
def test_a_run_without_grade_or_records_still_has_a_page(kind: str) -> None:
    page = html_report(RunJournal("r", "2026-01-01T00:00:00Z", kind))
    parsed(page)
    assert "Scorecard" not in page


def test_records_that_cannot_be_read_do_not_break_the_page(journal: RunJournal) -> None:
    broken = dataclasses.replace(journal.episodes[0], started_at="yesterday")
    page = html_report(dataclasses.replace(journal, episodes=(broken,)))
    assert "no timeline" in page


def _poison(value: Any) -> Any:
    """The same shape with every free text made hostile."""
    keep = {"id", "mode", "decision", "time", "verdict", "axis", "severity", "state", "source", "status"}
    if isinstance(value, dict):
        return {k: v if k in keep or k.endswith("At") or k == "at" else _poison(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_poison(item) for item in value)
    return HOSTILE if isinstance(value, str) else value


def test_hostile_texts_stay_texts(journal: RunJournal) -> None:
    grade = journal.grade
    assert grade is not None
    texts = {
        "title": HOSTILE,
        "seen": HOSTILE,
        "expected": HOSTILE,
        "evidence": (HOSTILE,),
        "look_at": HOSTILE,
    }
    checks = tuple(
        dataclasses.replace(check, **texts, id=HOSTILE, group=HOSTILE, next_command=HOSTILE)
        for check in grade.checks
    )
    fields = ("incidents", "faults", "audit", "marks", "shadow")
    episodes = tuple(
        dataclasses.replace(e, title=HOSTILE, **{name: _poison(getattr(e, name)) for name in fields})
        for e in journal.episodes
    )
    poisoned = dataclasses.replace(
        journal,
        id=HOSTILE,
        exercise=HOSTILE,
        automation=HOSTILE,
        notes=(HOSTILE,),
        settings={HOSTILE: HOSTILE},
        grade=dataclasses.replace(
            grade, checks=checks, exercise=HOSTILE, automation=HOSTILE, notes=(HOSTILE,)
        ),
        episodes=episodes,
        ledger=_poison(journal.ledger),
    )
    page = html_report(poisoned)
    found = parsed(page)
    assert found.fetched == []
    assert not found.tags & {"script", "img"}
    assert "{{ 7*7 }}" in page
    assert "no timeline" not in page


def test_the_chart_stays_inside_its_frame(journal: RunJournal) -> None:
    for episode in journal.episodes:
        made = chart(episode)
        for bar in made.bars:
            assert bar.x >= 0
            assert bar.x + bar.width <= WIDTH
            assert 0 <= bar.y < made.height
        assert all(0 <= mark.x <= WIDTH and 0 <= mark.y < made.height for mark in made.marks)
        assert [event.minute for event in made.events] == sorted(event.minute for event in made.events)
    assert [mark.style for mark in chart(journal.episodes[0]).marks] == ["carried_out", "refused"]
    assert {bar.style for bar in chart(journal.episodes[0]).bars} == {"fault", "decoy", "incident"}
