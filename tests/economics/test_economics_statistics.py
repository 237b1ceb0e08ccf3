"""Statistics against NumPy, SciPy and known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as student

from lab.economics.statistics import (
    Interval,
    bootstrap,
    bootstrap_difference,
    fmean,
    median_difference,
    median_interval,
    percentile,
    wilson,
)

samples = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(values=samples, share=st.floats(0, 1))
def test_percentiles_are_numpy_s(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], -0.1), ([1.0], 1.1)])
def test_a_percentile_of_nothing_is_an_error(values: list[float], share: float) -> None:
    with pytest.raises(ValueError):
        percentile(values, share)


@given(data=st.data(), attempts=st.integers(1, 200))
def test_wilson_is_scipy_s(data: st.DataObject, attempts: int) -> None:
    successes = data.draw(st.integers(0, attempts))
    ours = wilson(successes, attempts)
    theirs = binomtest(successes, attempts).proportion_ci(0.95, method="wilson")
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_no_attempt_gives_no_rate() -> None:
    assert wilson(0, 0) is None
    with pytest.raises(ValueError, match="no rate"):
        wilson(3, 2)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [3.01, 4.17, 5.33, 9.71, 4.59, 6.2, 7.13, 2.2, 8.01]
    assert bootstrap(values, 7) == bootstrap(values, 7)
    assert bootstrap(values, 7, fmean) != bootstrap(values, 8, fmean)


@given(values=st.lists(st.floats(0, 100), min_size=5, max_size=15))
def test_an_interval_stays_inside_the_sample(values: list[float]) -> None:
    found = bootstrap(values, 1)
    assert found is not None
    assert min(values) <= found.low <= found.high <= max(values)


def test_too_few_values_have_no_interval() -> None:
    assert bootstrap([1.0, 2.0, 3.0, 4.0], 1) is None
    assert bootstrap_difference([1.0, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0], 1) is None
    assert median_interval([1.0]) is None
    assert median_interval([0.0, 2.0]) is None
    assert median_interval([2.0, 2.0]) is None
    assert median_difference([1.0, 2.0], [1.0]) is None


@given(values=st.lists(st.floats(0.5, 60), min_size=2, max_size=30))
def test_the_interval_of_a_median_is_students_on_the_logarithms(values: list[float]) -> None:
    found = median_interval(values)
    logs = np.log(values)
    if found is None:
        return  # no spread, or too much of it
    low, high = student.interval(
        0.95, len(values) - 1, loc=logs.mean(), scale=logs.std(ddof=1) / len(values) ** 0.5
    )
    assert (found.low, found.high) == pytest.approx((np.exp(low), np.exp(high)), rel=1e-6)


def test_intervals_of_small_log_normal_samples_hold_the_median_as_often_as_they_say() -> None:
    chance = np.random.default_rng(1)
    held = differ = 0
    for _ in range(2000):
        people, machine = chance.lognormal(2.7, 0.3, 3), chance.lognormal(2.0, 0.3, 3)
        found, difference = median_interval(list(people)), median_difference(list(people), list(machine))
        assert found is not None
        assert difference is not None
        held += found.low <= np.exp(2.7) <= found.high
        differ += difference.low <= np.exp(2.7) - np.exp(2.0) <= difference.high
    assert 0.93 < held / 2000 < 0.97
    assert differ / 2000 > 0.93


def test_a_clear_difference_excludes_zero_and_none_crosses_it() -> None:
    slow, quick = [10.0, 11.0, 12.0, 13.0, 14.0], [1.0, 1.5, 2.0, 1.2, 1.1]
    clear = bootstrap_difference(slow, quick, 1)
    assert clear is not None
    assert clear.low > 5
    same = bootstrap_difference(slow, slow, 1)
    assert same is not None
    assert same.crosses_zero
    assert not Interval(1, 2).crosses_zero
