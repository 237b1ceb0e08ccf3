"""Measurements to verdicts: Argo Rollouts' limits with their strictly greater boundary, and stricter ones."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.canary.analysis import (
    FRESHEST_SECONDS,
    KEPT,
    Measurement,
    MetricResult,
    Phase,
    Sample,
    judge,
    metric_phase,
    next_due,
    record,
    run_phase,
)
from lab.core.canary import OFF, CanaryMetric
from lab.core.clock import TimeScale

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SCALE = TimeScale(60)
GOOD, BAD, DIM, ERR = Phase.SUCCESSFUL, Phase.FAILED, Phase.INCONCLUSIVE, Phase.ERROR
ENDED = [GOOD, BAD, DIM, ERR]


def metric(**more) -> CanaryMetric:
    return CanaryMetric(**{"name": "m", "query": "x", "success": "result < 1"} | more)


def results(phases: list[Phase]) -> MetricResult:
    found = MetricResult()
    for place, phase in enumerate(phases):
        found = record(found, Measurement(NOW + timedelta(seconds=place), phase))
    return found


def ends(limits: CanaryMetric, phases: list[Phase]) -> Phase:
    """How it stands after the first measurement that ended it, as a controller sees it."""
    found = MetricResult()
    for phase in phases:
        found = record(found, Measurement(NOW, phase))
        if metric_phase(limits, found)[0] is not Phase.RUNNING:
            break
    return metric_phase(limits, found)[0]


@given(limit=st.integers(0, 8), failures=st.integers(0, 12))
def test_failure_limit_is_exceeded_by_one_more(limit, failures):
    phase, why = metric_phase(metric(failure_limit=limit), results([BAD] * failures))
    assert (phase is BAD) == (failures > limit)
    assert (f"failed {failures} > failureLimit {limit}" == why) == (failures > limit)


@given(limit=st.integers(0, 8), dim=st.integers(0, 12))
def test_inconclusive_limit_is_exceeded_by_one_more(limit, dim):
    assert (metric_phase(metric(inconclusive_limit=limit), results([DIM] * dim))[0] is DIM) == (dim > limit)


@given(limit=st.integers(0, 8), errors=st.integers(0, 12))
def test_errors_count_only_in_a_row(limit, errors):
    limits = metric(consecutive_error_limit=limit)
    assert (metric_phase(limits, results([ERR] * errors))[0] is ERR) == (errors > limit)
    broken = [ERR] * limit + [GOOD] + [ERR] * limit
    assert ends(limits, broken) is Phase.RUNNING


@given(phases=st.lists(st.sampled_from(ENDED), max_size=30), wanted=st.integers(1, 5))
def test_successes_in_a_row_are_needed_and_enough(phases, wanted):
    limits = metric(
        failure_limit=OFF,
        inconclusive_limit=OFF,
        consecutive_error_limit=1000,
        consecutive_success_limit=wanted,
    )
    run, longest = 0, 0
    for phase in phases:
        run = run + 1 if phase is GOOD else 0
        longest = max(longest, run)
    assert (ends(limits, phases) is GOOD) == (longest >= wanted)


@given(phases=st.lists(st.sampled_from(ENDED), min_size=1, max_size=40))
def test_counts_add_up_and_errors_are_not_counted(phases):
    found = results(phases)
    assert found.count == found.successful + found.failed + found.inconclusive
    assert found.count + found.error == len(phases)
    assert len(found.measurements) == min(len(phases), KEPT)
    assert MetricResult.from_dict(found.as_dict()) == found


def test_a_count_that_is_reached_without_the_successes_in_a_row_is_no_success():
    limits = metric(count=3, consecutive_success_limit=3, failure_limit=5)
    assert ends(limits, [GOOD, BAD, GOOD]) is DIM
    assert ends(metric(count=3, consecutive_success_limit=3, failure_limit=OFF), [GOOD, BAD, GOOD]) is BAD
    assert ends(metric(count=3, failure_limit=1), [GOOD, BAD, GOOD]) is GOOD


@given(phases=st.lists(st.sampled_from(ENDED), min_size=1, max_size=5))
def test_a_run_is_its_worst_metric(phases):
    order = [GOOD, DIM, ERR, BAD]
    limits = {"failure_limit": 0, "inconclusive_limit": 0, "consecutive_error_limit": 0, "count": 1}
    metrics = [metric(name=f"m{place}", **limits) for place in range(len(phases))]
    found = {f"m{place}": results([phase]) for place, phase in enumerate(phases)}
    assert run_phase(metrics, found)[0] is max(phases, key=order.index)


def test_a_bad_metric_ends_the_run_before_the_others_do():
    metrics = [metric(name="slow", count=5), metric(name="bad")]
    phase, why = run_phase(metrics, {"bad": results([BAD])})
    assert phase is BAD
    assert why.startswith("bad: failed 1 > failureLimit 0")


def test_a_run_that_is_stopped_without_a_measurement_is_never_a_success():
    assert run_phase([metric()], {}, stopped=True)[0] is DIM
    assert run_phase([metric(count=3)], {"m": results([GOOD])}, stopped=True)[0] is DIM
    assert run_phase([], {}, stopped=True)[0] is DIM
    assert run_phase([], {})[0] is Phase.RUNNING
    assert run_phase([metric(count=1)], {"m": results([GOOD])}, stopped=True)[0] is GOOD


@pytest.mark.parametrize(
    ("sample", "phase", "says"),
    [
        (Sample(0.5, 1.0), GOOD, ""),
        (Sample(1.0, 1.0), BAD, "1 is not result < 1"),
        (Sample(None), DIM, "no data"),
        (Sample(math.nan, 1.0), DIM, "not a number"),
        (Sample(0.5, None), DIM, "how old"),
        (Sample(0.5, 5.01), DIM, "5.0 s old, 5 s is the limit"),
        (Sample(0.5, 5.0), GOOD, ""),
        (Sample(5.0, 60.0), DIM, "60.0 s old"),
        (Sample(math.inf, 0.0), BAD, "inf"),
        (Sample(error="connection refused"), ERR, "refused"),
    ],
)
def test_what_cannot_be_known_is_never_a_success(sample, phase, says):
    found = judge(metric(max_data_age=5), sample, NOW, SCALE)
    assert found.phase is phase
    assert says in found.message


@given(value=st.floats(), age=st.none() | st.floats(0, 100), limit=st.floats(0.1, 50))
def test_a_success_is_fresh_and_a_number_always(value, age, limit):
    found = judge(
        metric(max_data_age=limit, success="result <= 1 or result > 1"), Sample(value, age), NOW, SCALE
    )
    fresh = age is not None and age <= max(SCALE.real(minutes=limit), FRESHEST_SECONDS)
    assert (found.phase is GOOD) == (fresh and not math.isnan(value))


def test_between_the_two_conditions_lies_inconclusive():
    both = metric(success="result < 1", failure="result > 2")
    phases = [judge(both, Sample(v, 0.0), NOW, SCALE).phase for v in (0.9, 1.0, 2.0, 2.1)]
    assert phases == [GOOD, DIM, DIM, BAD]
    only_failure = metric(success="", failure="result > 2")
    assert [judge(only_failure, Sample(v, 0.0), NOW, SCALE).phase for v in (2.0, 2.1)] == [GOOD, BAD]


def test_measurements_are_due_after_the_delay_then_by_the_interval_and_sooner_after_an_error():
    limits = metric(initial_delay=4, interval=10, count=3)
    assert next_due(limits, MetricResult(), NOW, SCALE) == NOW + timedelta(seconds=4)
    assert next_due(limits, results([GOOD]), NOW, SCALE) == NOW + timedelta(seconds=10)
    assert next_due(limits, results([ERR]), NOW, SCALE) == NOW + timedelta(seconds=2)
    assert next_due(limits, results([GOOD] * 3), NOW, SCALE) is None
    assert next_due(metric(interval=0.1), results([GOOD]), NOW, SCALE) == NOW + timedelta(seconds=1)
