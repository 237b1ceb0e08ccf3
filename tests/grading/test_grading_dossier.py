"""What a graded run leaves: made from evidence on disk, complete, and made again without harm."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import grading_evidence as written
import pytest

from lab.catalog import exercise
from lab.core.verdict import Axis, CheckResult, Grade, Verdict
from lab.engine.evidence import save
from lab.grading.dossier import journal_of, publish

EXERCISE = exercise("stuck-workers")


def grade(*checks: CheckResult) -> Grade:
    return Grade("stuck-workers", "mine", 3, "local", checks, 12.0, "run-1", written.text(0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for evidence in (written.shadow(), written.live(), written.kill_switch()):
        save(evidence, tmp_path / "evidence" / evidence.group)
    return tmp_path


def test_all_groups_are_in_the_journal_and_the_ledger_compares_people_with_the_automation(folder):
    journal = journal_of(EXERCISE, grade(), folder)
    assert [episode.id for episode in journal.episodes] == [group.id for group in EXERCISE.groups]
    assert journal.episodes[0].shadow is not None
    assert journal.ledger["before"]["source"] == "measured"
    assert journal.ledger["after"]["source"] == "measured"
    assert journal.ledger["per_week"] == EXERCISE.toil.per_week


def test_a_group_without_evidence_is_left_out_and_the_rest_stands(tmp_path):
    save(written.live(), tmp_path / "evidence" / "live")
    journal = journal_of(EXERCISE, grade(), tmp_path)
    assert [episode.id for episode in journal.episodes] == ["live"]
    assert journal.ledger["before"]["source"] == "declared"


def test_no_evidence_no_ledger(tmp_path):
    assert journal_of(EXERCISE, grade(), tmp_path).ledger is None


def test_publishing_writes_three_files_and_may_be_repeated(folder):
    hostile = CheckResult("a", "<script>alert(1)</script>", Axis.RISK, 5, Verdict.FAIL, seen="<b>&")
    for _ in range(2):
        publish(EXERCISE, grade(hostile), folder)
    assert json.loads((folder / "run.json").read_text())["grade"]["verdict"] == "fail"
    assert ElementTree.parse(folder / "junit.xml").getroot().get("failures") == "1"
    page = (folder / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
