"""Plans and conditions as people write them: what is understood, and every problem of what is not."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.canary.measuring import freshness
from lab.catalog import load_exercise
from lab.catalog.canary import default_canary
from lab.core.canary import CanaryPlan, read_plan, read_steps
from lab.core.condition import read_condition
from lab.core.places import data_root
from lab.errors import ConfigError, UsageError

METRIC = {"name": "errors", "query": "x", "successCondition": "result < 0.05"}


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("result < 0.05", 0.049, True),
        ("result < 0.05", 0.05, False),
        ("result >= 0.95 and result <= 1", 0.95, True),
        ("result >= 0.95 && result <= 1", 1.01, False),
        ("result < 1 or result > 2 and result < 3", 2.5, True),
        ("(result < 1 or result > 2) and result < 2.2", 0.5, True),
        ("not result == 0", 0, False),
        ("!(result != 1e-3)", 0.001, True),
        ("-1 < result", -1.5, False),
        ("result < .5", math.nan, False),
    ],
)
def test_conditions(text, value, holds):
    assert read_condition(text).holds(value) is holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "result",
        "result <",
        "result < 1 2",
        "(result < 1",
        "result < 1 and",
        "x < 1",
        "result < nan",
        "__import__('os')",
        "result = 1",
        "result[0] < 1",
        "0.05",
        "result < 1)",
        "not" * 50,
        "(" * 50,
        "r" * 300,
    ],
)
def test_what_is_no_condition_says_what_one_looks_like(text):
    with pytest.raises(UsageError) as caught:
        read_condition(text)
    assert "result < 0.05" in caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_refused(text):
    try:
        read_condition(text).holds(0.5)
    except UsageError:
        return


@given(limit=st.floats(allow_nan=False, allow_infinity=False), value=st.floats(allow_nan=False))
def test_comparisons_are_those_of_numbers(limit, value):
    assert read_condition(f"result < {limit!r}").holds(value) == (value < limit)
    assert read_condition(f"result >= {limit!r}").holds(value) == (value >= limit)


def test_a_plan_survives_its_wire_form():
    plan = read_plan(
        {
            "runId": "run-1",
            "workspaceDigest": "abc",
            "automation": "restart",
            "by": "ann",
            "steps": [10, 12.5, 100],
            "successesToPromote": 2,
            "actionsToPromote": 1,
            "analysis": [METRIC | {"failureCondition": "result > 0.2", "failureLimit": -1, "interval": 2}],
        }
    )
    assert read_plan(json.loads(json.dumps(plan.as_dict()))) == plan
    assert plan.steps == (10, 12.5, 100)


def test_a_metric_without_an_end_ends_after_the_plans_successes():
    plan = read_plan({"successesToPromote": 4, "analysis": [METRIC, METRIC | {"name": "b", "count": 2}]})
    assert [(m.consecutive_success_limit, m.count) for m in plan.metrics()] == [(4, 0), (0, 2)]
    assert plan.steps == CanaryPlan().steps


def test_every_problem_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        read_plan(
            {
                "steps": [50, 10],
                "successesToPromote": 0,
                "nonsense": 1,
                "analysis": [
                    {"name": "UPPER", "query": " ", "successCondition": "result <", "count": 1.5, "x": 1},
                    {"name": "b", "query": "x", "interval": math.nan, "failureLimit": -2},
                    METRIC,
                    METRIC,
                    7,
                ],
            }
        )
    said = "\n".join(caught.value.problems)
    for part in (
        "steps: each is larger",
        "successesToPromote is between 1",
        "nonsense: there is no such key",
        "analysis[0].name is up to 40 small letters",
        "analysis[0].query is empty",
        "analysis[0].successCondition is no",
        "analysis[0].count is a whole number",
        "analysis[0].x: there is no such key",
        "analysis[1].interval is between",
        "analysis[1].failureLimit is between -1",
        "analysis[1].successCondition or failureCondition is missing",
        "errors occurs 2 times",
        "analysis[4]: a metric is an object",
    ):
        assert part in said, part


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"analysis": []}, {"analysis": {}}, {"analysis": [METRIC], "steps": []}]
)
def test_a_plan_without_an_analysis_or_a_step_is_refused(data):
    with pytest.raises(ConfigError):
        read_plan(data)


def test_steps_of_the_command_line():
    assert read_steps("10, 50%,100") == (10, 50, 100)
    for wrong in ("", "a", "10,5", "0,50", "50,101", "nan"):
        with pytest.raises(UsageError):
            read_steps(wrong)


def test_the_labs_own_plan_is_valid_and_every_metric_can_tell_its_age():
    plan = default_canary()
    assert plan.steps == (10, 50, 100)
    assert {metric.name for metric in plan.analysis} == {"error-ratio", "late-orders", "auto-success-rate"}
    assert all(metric.freshness or freshness(metric.query) for metric in plan.analysis)


def exercise_with(folder: Path, more: str) -> Path:
    """A copy of the first exercise with more in its exercise.yaml."""
    copied = folder / "stuck-workers"
    shutil.copytree(data_root() / "exercises" / "stuck-workers", copied)
    with (copied / "exercise.yaml").open("a") as file:
        file.write(more)
    return copied


def test_an_exercise_may_bring_a_plan_and_thresholds_of_its_own(tmp_path):
    written = f"canary: {{steps: [25, 100], analysis: [{json.dumps(METRIC)}]}}\n"
    written += "shadow: {minHangs: 2, maxFalseActions: 1}\n"
    exercise = load_exercise(exercise_with(tmp_path, written))
    assert exercise.canary is not None
    assert (exercise.canary.steps, exercise.canary.analysis[0].name) == ((25, 100), "errors")
    assert (exercise.shadow.min_hangs, exercise.shadow.max_false_actions) == (2, 1)


def test_problems_of_an_exercises_plan_are_named_with_the_others(tmp_path):
    written = "canary: {steps: [0], analysis: [{name: x, query: y, successCondition: wrong}]}\n"
    with pytest.raises(ConfigError) as caught:
        load_exercise(exercise_with(tmp_path, written))
    said = "\n".join(caught.value.problems)
    assert "canary: steps: a percentage is above 0" in said
    assert "canary: analysis[0].successCondition is no condition" in said
