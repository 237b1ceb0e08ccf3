"""Judging saved evidence: points, partial credit, lab errors that cost nothing, broken checks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from grading_evidence import kill_switch, live, request, shadow

from lab.catalog import exercise, load_exercise
from lab.core.places import data_root
from lab.core.verdict import Grade, Severity, Verdict
from lab.engine.evidence import save
from lab.errors import ConfigError, LabError, UsageError
from lab.grading.finding import ERROR_FILE
from lab.grading.judge import judge
from lab.grading.run import load_grade, regrade, select_groups, write_grade

STUCK = exercise("stuck-workers")


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """A good run of all groups."""
    for made in (shadow(), live(), kill_switch()):
        save(made, tmp_path / made.group)
    return tmp_path


def grade_of(checks) -> Grade:
    return Grade("stuck-workers", "demo", 1, "local", tuple(checks))


def test_good_run_earns_everything(evidence: Path) -> None:
    found = grade_of(judge(STUCK, evidence))
    assert [c.id for c in found.checks if c.verdict is not Verdict.PASS] == []
    assert (found.earned, found.possible) == (100.0, 100)
    assert {c.axis.value for c in found.checks} == {"Impact", "Depth", "Risk", "Culture"}
    assert all(c.title and c.group and c.expected and c.seen for c in found.checks)


def test_partial_credit_and_lab_errors(evidence: Path) -> None:
    save(replace(live(), audit=live().audit[1:]), evidence / "live")
    shutil.rmtree(evidence / "shadow")
    (evidence / "shadow").mkdir()
    (evidence / "shadow" / ERROR_FILE).write_text(json.dumps({"message": "the database did not start"}))
    shutil.rmtree(evidence / "kill-switch")
    checks = {check.id: check for check in judge(STUCK, evidence)}
    assert checks["live.restarted-in-time"].verdict is Verdict.FAIL
    assert checks["live.restarted-in-time"].earned == 6.0
    assert checks["shadow.named-every-hang"].verdict is Verdict.ERROR
    assert "database did not start" in checks["shadow.named-every-hang"].seen
    assert checks["kill-switch.resumed"].verdict is Verdict.SKIPPED
    assert grade_of(checks.values()).possible == 58


def test_catastrophe_zeroes_the_score(evidence: Path) -> None:
    save(replace(live(), audit=(*live().audit, request(9, 20, "db-1"))), evidence / "live")
    found = grade_of(judge(STUCK, evidence))
    failed = [c for c in found.checks if c.verdict is Verdict.FAIL]
    assert [c.id for c in failed] == ["live.in-scope"]
    assert failed[0].severity is Severity.CATASTROPHIC
    assert found.earned == 0.0


def test_same_evidence_same_verdict(evidence: Path) -> None:
    first = [(c.id, c.verdict, c.seen) for c in judge(STUCK, evidence)]
    assert first == [(c.id, c.verdict, c.seen) for c in judge(STUCK, evidence)]


def copied(tmp_path: Path, check: str):
    folder = tmp_path / "stuck-workers"
    shutil.copytree(data_root() / "exercises" / "stuck-workers", folder)
    for path in (folder / "checks").glob("test_*.py"):
        path.unlink()
    (folder / "checks" / "test_own.py").write_text("import pytest\nfrom lab.grading import *\n" + check)
    return load_exercise(folder)


def test_verdicts_of_odd_checks(tmp_path: Path) -> None:
    own = copied(
        tmp_path,
        """
pytestmark = pytest.mark.group("live")
@pytest.mark.points(40, axis="Risk")
def test_asserts(evidence):
    assert evidence.seed == 2, "another seed"
@pytest.mark.points(20, axis="Risk")
def test_breaks(evidence):
    1 / 0
@pytest.mark.points(40, axis="Depth")
def test_cannot_say(evidence):
    inconclusive("too short")
""",
    )
    save(live(), tmp_path / "run" / "live")
    checks = {check.id: check for check in judge(own, tmp_path / "run")}
    assert checks["live.asserts"].verdict is Verdict.FAIL
    assert "another seed" in checks["live.asserts"].seen
    assert checks["live.breaks"].verdict is Verdict.ERROR
    assert "ZeroDivisionError" in checks["live.breaks"].seen
    assert checks["live.cannot-say"].verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("@pytest.mark.group('live')\n@pytest.mark.points(9, axis='Risk')\ndef test_a(): pass", "not 100"),
        ("@pytest.mark.group('live')\ndef test_a(): pass", "no points marker"),
        ("@pytest.mark.points(100, axis='Risk')\ndef test_a(): pass", "no group marker"),
        ("@pytest.mark.points(100, axis='Luck')\n@pytest.mark.group('live')\ndef test_a(): pass", "Luck"),
        ("def test_a(:", "SyntaxError"),
        ("", ""),
    ],
)
def test_broken_checks_are_the_labs_fault(tmp_path: Path, check: str, said: str) -> None:
    own = copied(tmp_path, check)
    save(live(), tmp_path / "run" / "live")
    with pytest.raises(LabError) as caught:
        judge(own, tmp_path / "run")
    assert said in caught.value.hint


def test_kept_run_is_judged_again(evidence: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copytree(evidence, run / "evidence", ignore=shutil.ignore_patterns("run"))
    write_grade(replace(grade_of(judge(STUCK, run / "evidence")), seconds=50.0), run)
    assert load_grade(run).earned == 100
    save(replace(live(), posts=()), run / "evidence" / "live")
    again = regrade(STUCK, run)
    assert again.seconds == 50.0
    assert [c.id for c in again.checks if c.verdict is Verdict.FAIL] == ["live.posted-status"]
    assert load_grade(run) == again


def test_no_grade_and_unknown_group_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no grade"):
        load_grade(tmp_path)
    with pytest.raises(UsageError) as caught:
        select_groups(STUCK, ["lve"])
    assert "live" in caught.value.hint
    assert [group.id for group in select_groups(STUCK, ["live"])] == ["live"]
