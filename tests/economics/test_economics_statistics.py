"""Statistics against NumPy, SciPy and known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from lab.economics.statistics import Interval, bootstrap, bootstrap_difference, fmean, percentile, wilson

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


@given(values=st.lists(st.floats(0, 100), min_size=2, max_size=15))
def test_an_interval_stays_inside_the_sample(values: list[float]) -> None:
    found = bootstrap(values, 1)
    assert found is not None
    assert min(values) <= found.low <= found.high <= max(values)


def test_one_value_has_no_interval() -> None:
    assert bootstrap([1.0], 1) is None
    assert bootstrap_difference([1.0], [1.0, 2.0], 1) is None


def test_a_clear_difference_excludes_zero_and_none_crosses_it() -> None:
    slow, quick = [10.0, 11.0, 12.0, 13.0, 14.0], [1.0, 1.5, 2.0, 1.2, 1.1]
    clear = bootstrap_difference(slow, quick, 1)
    assert clear is not None
    assert clear.low > 5
    same = bootstrap_difference(slow, slow, 1)
    assert same is not None
    assert same.crosses_zero
    assert not Interval(1, 2).crosses_zero
