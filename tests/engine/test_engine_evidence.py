"""Evidence on disk, effects read from it, the shadow report, and the proof of an exercise."""

from dataclasses import replace
from pathlib import Path

import grading_evidence as written
import pytest

from lab.catalog.mutants import Mutant, Starter
from lab.core.verdict import Axis, CheckResult, Grade, Verdict
from lab.engine.effects import hangs, partition_of, restarts, troubles, victims
from lab.engine.evidence import load, save
from lab.engine.shadow import shadow_report
from lab.engine.verify import judge_mutant, judge_solution, judge_starter
from lab.errors import ConfigError


def test_saved_evidence_comes_back_the_same(tmp_path: Path) -> None:
    for made in (written.shadow(), written.live(), written.kill_switch()):
        assert load(save(made, tmp_path / made.group)) == made


def test_incomplete_or_foreign_evidence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"meta\.json is missing"):
        load(tmp_path)
    folder = save(written.live(), tmp_path / "live")
    (folder / "pods.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(folder)
    save(written.live(), folder)
    meta = (folder / "meta.json").read_text()
    (folder / "meta.json").write_text(meta.replace('"schema_version": 1', '"schema_version": 99'))
    with pytest.raises(ConfigError, match="another version"):
        load(folder)


def test_effects_know_hangs_decoys_and_successors() -> None:
    evidence = written.live()
    assert [t.pod for t in hangs(evidence, curable=True)] == ["worker-a", "worker-b"]
    (incurable,) = hangs(evidence, curable=False)
    assert victims(evidence, incurable) == {"worker-c", "worker-c2"}
    assert [t.pod for t in troubles(evidence) if t.decoy] == ["worker-d"]
    assert partition_of(evidence, "worker-a2", written.at(20).timestamp()) == "0"
    assert evidence.lab_minute(written.text(12)) == 12


def test_hang_of_a_pod_that_was_going_does_not_count() -> None:
    base = written.live()
    going = written.fault("worker-d", 3, 21, 21.2, id="hung-workers-9")
    assert hangs(replace(base, faults=(*base.faults, going))) == hangs(base)


@pytest.mark.parametrize(
    ("change", "workers"),
    [
        ({}, {"worker-a"}),
        ({"verb": "create", "subresource": "eviction"}, {"worker-a"}),
        ({"verb": "patch"}, set()),
        ({"name": "db-1"}, set()),
        ({"namespace": "other"}, set()),
        (
            {"verb": "deletecollection", "name": ""},
            {"worker-a", "worker-b", "worker-c", "worker-d", "worker-idle"},
        ),
        ({"verb": "delete", "resource": "deployments", "name": "worker"}, None),
        (
            {
                "verb": "patch",
                "resource": "deployments",
                "name": "worker",
                "diff": ({"op": "replace", "path": "/metadata/labels/x"},),
            },
            set(),
        ),
    ],
)
def test_which_workers_a_request_restarts(change: dict[str, object], workers: set[str] | None) -> None:
    evidence = written.live()
    found = restarts(evidence, (replace(written.request(1, 5, "worker-a"), **change),))
    taken = set(found[0].workers) if found else set()
    assert taken == workers if workers is not None else len(taken) == 5


def test_shadow_report_of_a_good_run_promotes() -> None:
    report = shadow_report(written.shadow())
    assert report.verdict == "promote"
    assert report.agreement == 1.0
    assert report.earlier_lab_minutes == pytest.approx(10)
    assert [match.human is None for match in report.matches] == [False, True]
    assert report.as_dict()["intents"] == 2


def test_shadow_report_names_the_look_alike() -> None:
    base = written.shadow()
    report = shadow_report(replace(base, audit=(base.audit[0], written.intent(3, 12, "worker-d"))))
    assert report.verdict == "hold"
    assert report.agreement == 0.5
    assert report.false_actions[0].pods == ("worker-d",)
    assert "look-alike" in report.false_actions[0].look_alike
    assert len(report.reasons) == 2


def test_shadow_report_without_hangs_holds() -> None:
    report = shadow_report(replace(written.shadow(), faults=(), audit=()))
    assert report.verdict == "hold"
    assert "no hang" in report.reasons[0]


def graded(**verdicts: Verdict) -> Grade:
    checks = tuple(
        CheckResult(name, name, Axis.RISK, 50, verdict, 50.0 if verdict is Verdict.PASS else 0.0)
        for name, verdict in verdicts.items()
    )
    return Grade("stuck-workers", "demo", 1, "local", checks)


MUTANT = Mutant("m", "flaw", "python", (), fails=("a",))
PASS, FAIL, ERROR = Verdict.PASS, Verdict.FAIL, Verdict.ERROR


@pytest.mark.parametrize(
    ("verdicts", "problem"),
    [
        ({"a": FAIL, "b": PASS, "c": PASS}, ""),
        ({"a": PASS, "b": PASS, "c": PASS}, "a did not fail"),
        ({"a": FAIL, "b": FAIL, "c": PASS}, "b failed too"),
        ({"a": FAIL, "b": ERROR, "c": PASS}, "b: error"),
        ({"b": PASS, "c": PASS}, "a is not a check"),
    ],
)
def test_mutant_fails_exactly_as_named(verdicts: dict[str, Verdict], problem: str) -> None:
    proof = judge_mutant(MUTANT, graded(**verdicts))
    assert proof.ok is (problem == "")
    assert problem in "; ".join(proof.problems)


def test_solution_and_starter() -> None:
    assert judge_solution("python", 100, graded(a=PASS, b=PASS)).ok
    assert not judge_solution("python", 100, graded(a=PASS, b=FAIL)).ok
    assert not judge_solution("python", 100, graded(a=PASS, b=ERROR)).ok
    assert judge_starter(Starter(60, ("b",)), graded(a=PASS, b=FAIL)).ok
    assert not judge_starter(Starter(40, ("b",)), graded(a=PASS, b=FAIL)).ok
    assert not judge_starter(Starter(100, ("b",)), graded(a=PASS, b=PASS)).ok
    assert not judge_starter(Starter(100, ("b",)), graded(a=FAIL, b=FAIL)).ok
    assert judge_starter(Starter(100, ("c",)), graded(a=PASS)).problems == ("c is not a check",)
