"""A dot with whiskers per row: medians and their intervals on one axis. Geometry only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LEFT, RIGHT, ROW = 170.0, 20.0, 30.0
WIDTH = 960.0
_STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 240)


@dataclass(frozen=True, slots=True)
class Whisker:
    """A row. dot: the median's place; low and high: its interval's, None when there is none."""

    label: str
    y: float
    dot: float
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything to draw; the axis starts at zero."""

    width: float
    height: float
    rows: tuple[Whisker, ...]
    ticks: tuple[tuple[float, str], ...]


def whiskers(rows: list[tuple[str, float, dict[str, Any] | None]]) -> Plot:
    """Lay out rows of (label, median, interval as `{low, high, level}` or None), all in minutes >= 0."""
    most = max([*(row[1] for row in rows), *(row[2]["high"] for row in rows if row[2])], default=1.0) or 1.0

    def x(value: float) -> float:
        return round(LEFT + value / most * (WIDTH - LEFT - RIGHT), 2)

    laid = []
    for number, (label, middle, interval) in enumerate(rows):
        text = f"{label}: median {middle:.1f} minutes"
        low = high = None
        if interval:
            low, high = x(interval["low"]), x(interval["high"])
            text += f", {interval['level']:.0%} interval {interval['low']:.1f} to {interval['high']:.1f}"
        laid.append(Whisker(label, ROW * (number + 0.5), x(middle), low, high, text))
    step = next((step for step in _STEPS if most / step <= 8), most)
    ticks = tuple((x(step * n), f"{step * n:g}") for n in range(int(most / step) + 1))
    return Plot(WIDTH, ROW * len(rows) + 22, tuple(laid), ticks)
