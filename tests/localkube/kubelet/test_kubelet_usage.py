"""A meter's rate from totals of processor time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lab.localkube.kubelet.usage import Meter, Usage
from lab.localkube.protocols import LONGEST_WINDOW

START = datetime(2026, 1, 1, tzinfo=UTC)


class Hand:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def measured(totals: list[float], process: object = "p") -> Meter:
    """A meter that was told a total of processor seconds each second."""
    meter, clock = Meter(), Hand()
    for second, total in enumerate(totals):
        clock.at = float(second)
        meter.add(process, Usage(total, 1000 + second, 1), clock)
    return meter


@pytest.mark.parametrize(
    ("totals", "window", "cores", "seconds"),
    [
        ([0, 1], 15, 1.0, 1),
        ([0, 0.5, 1, 2], 15, 2 / 3, 3),
        ([0, 0, 0, 0, 4], 2, 2.0, 2),
        ([0, 0, 0, 0, 4], 0.5, 4.0, 1),
        ([5, 3], 15, 0.0, 1),
        ([float(second) for second in range(100)], LONGEST_WINDOW, 1.0, LONGEST_WINDOW),
    ],
)
def test_the_rate_is_over_the_window(
    totals: list[float], window: float, cores: float, seconds: float
) -> None:
    reading = measured(totals).reading("p", window)
    assert reading is not None
    assert (reading.cpu, reading.window) == (pytest.approx(cores), seconds)
    assert reading.memory == 1000 + len(totals) - 1
    assert reading.at == START + timedelta(seconds=len(totals) - 1)


def test_one_look_is_no_rate_and_a_new_process_begins_anew() -> None:
    assert measured([3]).reading("p", 15) is None
    meter = measured([0, 1, 2])
    assert meter.reading("q", 15) is None
    meter.add("q", Usage(0.1, 1, 1), Hand())
    assert meter.reading("q", 15) is None
    assert meter.reading("p", 15) is None
