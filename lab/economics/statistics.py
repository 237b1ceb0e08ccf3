"""The few statistics the ledger needs. Every sample is small, so every figure has an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median

from lab.core.seed import stream

RESAMPLES = 2000
LEVEL = 0.95
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
    """Percentile bootstrap interval of a statistic; None for fewer than two values.

    The same values and seed give the same interval. B. Efron, "Bootstrap Methods" (1979).
    """
    if len(values) < 2:
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
    """Interval of statistic(before) - statistic(after), two independent samples of two values or more."""
    if len(before) < 2 or len(after) < 2:
        return None
    chance = stream(seed, "economics", "difference")
    drawn = [
        statistic(chance.choices(before, k=len(before))) - statistic(chance.choices(after, k=len(after)))
        for _ in range(RESAMPLES)
    ]
    return _middle(drawn, level)


def _middle(drawn: list[float], level: float) -> Interval:
    tail = (1 - level) / 2
    return Interval(percentile(drawn, tail), percentile(drawn, 1 - tail), level)


__all__ = [
    "Interval",
    "bootstrap",
    "bootstrap_difference",
    "fmean",
    "median",
    "percentile",
    "wilson",
]
