"""The few statistics the ledger needs. Every sample is small, so every figure has an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median, stdev

from lab.core.seed import stream

RESAMPLES = 2000
LEVEL = 0.95
FEWEST_RESAMPLED = 5
"""Below this many values resampling only shuffles what little there is: its intervals are far too narrow."""
MOST_LOGARITHM = 5.0
"""An interval that spans more than a factor of e^5 each way says nothing, and is not given."""

Statistic = Callable[[Sequence[float]], float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval, ends included."""

    low: float
    high: float
    level: float = LEVEL

    @property
    def crosses_zero(self) -> bool:
        """Would no difference at all be compatible with it?"""
        return self.low <= 0 <= self.high


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the sample lies, by linear interpolation.

    Type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), the default of NumPy.
    Raises ValueError for an empty sample or a share outside 0 to 1.
    """
    if not values or not 0 <= share <= 1:
        raise ValueError("a percentile needs values and a share between 0 and 1")
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def wilson(successes: int, attempts: int, level: float = LEVEL) -> Interval | None:
    """Wilson's score interval of a rate (0 to 1); None when nothing was attempted.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).
    Raises ValueError when there are more successes than attempts, or either is negative.
    """
    if attempts < 0 or not 0 <= successes <= attempts:
        raise ValueError(f"{successes} successes of {attempts} attempts make no rate")
    if attempts == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate = successes / attempts
    scale = 1 + z * z / attempts
    centre = (rate + z * z / (2 * attempts)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / attempts + z * z / (4 * attempts * attempts))
    return Interval(max(0.0, centre - half), min(1.0, centre + half), level)


def bootstrap(
    values: Sequence[float], seed: int, statistic: Statistic = median, *, level: float = LEVEL
) -> Interval | None:
    """Percentile bootstrap interval of a statistic; None for fewer than five values.

    The same values and seed give the same interval. B. Efron, "Bootstrap Methods" (1979).
    """
    if len(values) < FEWEST_RESAMPLED:
        return None
    chance = stream(seed, "economics", "bootstrap")
    drawn = [statistic(chance.choices(values, k=len(values))) for _ in range(RESAMPLES)]
    return _middle(drawn, level)


def bootstrap_difference(
    before: Sequence[float],
    after: Sequence[float],
    seed: int,
    statistic: Statistic = median,
    *,
    level: float = LEVEL,
) -> Interval | None:
    """Interval of statistic(before) - statistic(after), two independent samples of five values or more."""
    if len(before) < FEWEST_RESAMPLED or len(after) < FEWEST_RESAMPLED:
        return None
    chance = stream(seed, "economics", "difference")
    drawn = [
        statistic(chance.choices(before, k=len(before))) - statistic(chance.choices(after, k=len(after)))
        for _ in range(RESAMPLES)
    ]
    return _middle(drawn, level)


def median_interval(durations: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Interval of the median of durations (> 0), from two values on; None for fewer, or without spread.

    Times to repair are taken as log-normal, so this is Student's t interval of the mean of the logarithms,
    taken back. It is as wide as a small sample deserves.
    """
    found = _log_median(durations, level)
    return None if found is None else found[1]


def median_difference(
    before: Sequence[float], after: Sequence[float], level: float = LEVEL
) -> Interval | None:
    """Interval of median(before) - median(after), in the durations' unit; None when either has none.

    The two intervals are joined by the method of variance estimates recovery: G. Y. Zou and A. Donner,
    "Construction of confidence limits about effect measures" (2008).
    """
    first, second = _log_median(before, level), _log_median(after, level)
    if first is None or second is None:
        return None
    (slow, wide), (quick, narrow) = first, second
    difference = slow - quick
    low = difference - math.hypot(slow - wide.low, narrow.high - quick)
    high = difference + math.hypot(wide.high - slow, quick - narrow.low)
    return Interval(low, high, level)


def _log_median(durations: Sequence[float], level: float) -> tuple[float, Interval] | None:
    if len(durations) < 2 or min(durations) <= 0:
        return None
    from scipy.special import stdtrit  # slow to import, and only reports need it

    logs = [math.log(value) for value in durations]
    middle, spread = fmean(logs), stdev(logs)
    if spread == 0:
        return None
    half = float(stdtrit(len(logs) - 1, 0.5 + level / 2)) * spread / math.sqrt(len(logs))
    if half > MOST_LOGARITHM:
        return None
    return math.exp(middle), Interval(math.exp(middle - half), math.exp(middle + half), level)


def _middle(drawn: list[float], level: float) -> Interval:
    tail = (1 - level) / 2
    return Interval(percentile(drawn, tail), percentile(drawn, 1 - tail), level)


__all__ = [
    "Interval",
    "bootstrap",
    "bootstrap_difference",
    "fmean",
    "median",
    "median_difference",
    "median_interval",
    "percentile",
    "wilson",
]
