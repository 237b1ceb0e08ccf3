"""The shadow report's verdict: each threshold at its boundary, decoys by name, misses, harmful order."""

from __future__ import annotations

from dataclasses import replace

import grading_evidence as written
import pytest

from lab.core.exercise import ShadowThresholds
from lab.engine.shadow import shadow_report
from lab.reports.text import shadow_table


@pytest.mark.parametrize(
    ("thresholds", "verdict", "says"),
    [
        (ShadowThresholds(), "promote", ""),
        (ShadowThresholds(min_hangs=2), "promote", ""),
        (ShadowThresholds(min_hangs=3), "hold", "hangs that happened: 2, at least 3"),
        (ShadowThresholds(min_agreement=1.0), "promote", ""),
        (ShadowThresholds(max_at_once=1), "promote", ""),
        (ShadowThresholds(min_earlier_lab_minutes=10), "promote", ""),
        (
            ShadowThresholds(min_earlier_lab_minutes=10.5),
            "hold",
            "10.0 lab minutes; 10.5 lab minutes are needed",
        ),
    ],
)
def test_a_good_run_by_the_thresholds_of_its_exercise(thresholds, verdict, says):
    report = shadow_report(written.shadow(), thresholds)
    assert report.verdict == verdict
    assert says in "; ".join(report.reasons)
    assert report.decoys == (("look-alike of worker-d (partition 3)", False),)
    assert (report.misses, report.crowds, report.at_once) == ((), (), 1)


def test_a_decoy_that_it_fell_for_and_a_miss_are_named():
    base = written.shadow()
    fooled = replace(base, audit=(base.audit[0], written.intent(3, 12, "worker-d")))
    report = shadow_report(fooled)
    assert report.misses == ("hang of worker-b (partition 1)",)
    assert report.decoys == (("look-alike of worker-d (partition 3)", True),)
    notes = "\n".join(shadow_table(report.as_dict()).notes)
    assert "missed: hang of worker-b (partition 1)" in notes
    assert "fell for the look-alike of worker-d" in notes
    assert "against promoting: intents that name workers that were not hung: 1" in notes
    lenient = ShadowThresholds(max_false_actions=1, min_agreement=0.5)
    assert shadow_report(fooled, lenient).verdict == "promote"


def test_intents_close_together_count_as_workers_down_at_once():
    base = written.shadow()
    herd = tuple(written.intent(n, 10 + n / 10, name) for n, name in enumerate(written.WORKERS[:4], 1))
    report = shadow_report(replace(base, audit=herd))
    assert report.at_once == 4
    assert [len(crowd.pods) for crowd in report.crowds] == [3, 4]
    assert "4 workers would have been down at once; 2 at most" in "; ".join(report.reasons)
    apart = tuple(written.intent(n, 10 + 2 * n, name) for n, name in enumerate(written.WORKERS[:4], 1))
    assert shadow_report(replace(base, audit=apart)).at_once == 1


def test_without_a_single_intent_every_hang_is_a_miss():
    report = shadow_report(replace(written.shadow(), audit=()), ShadowThresholds(min_earlier_lab_minutes=1))
    assert (len(report.misses), report.verdict) == (2, "hold")
    assert any("never" in reason for reason in report.reasons)
    assert report.as_dict()["thresholds"]["min_agreement"] == 0.9


def test_faults_that_a_restart_does_not_answer_are_no_hangs():
    base = written.shadow()
    automation = {"kind": "Pod", "namespace": "automation", "name": "automation-1"}
    others = (
        written.fault("worker-e", 4, 1, 9, fault="memory-leak", id="memory-leak-1"),
        written.fault("", 0, 1, 9, fault="automation-killed", id="automation-killed-1", target=automation),
    )
    assert shadow_report(replace(base, faults=(*base.faults, *others))) == shadow_report(base)
