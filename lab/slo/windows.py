"""The windows of the burn-rate alerts, in lab time and in real time.

The factors and windows are those of the SRE Workbook, "Alerting on SLOs", section 6, with the pair of one
day and two hours added, as sloth and pyrra have it. A burn rate of 1 spends the budget in the period; 14.4
for an hour spends 2 % of a 30 days' budget, 6 for six hours 5 %, 3 for a day 10 %, 1 for three days 10 %.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.clock import TimeScale

SCRAPE_SECONDS = 1.0
"""How often Prometheus scrapes, and evaluates rules: real seconds."""

MINIMUM_SAMPLES = 4
"""A rate over fewer scrapes than this is noise, or nothing at all when one scrape is missed."""

SHORTEST_SECONDS = SCRAPE_SECONDS * (MINIMUM_SAMPLES + 1)
"""No window is shorter than this, however fast lab time passes."""


@dataclass(frozen=True, slots=True)
class BurnWindow:
    """One alert: it fires while the burn rate is above `factor` over the long and over the short window.

    The long window says that a real share of the budget is gone, the short one that it still goes on, so
    that the alert ends soon after the trouble does. Windows are in lab hours.
    """

    factor: float
    long_hours: float
    short_hours: float
    severity: str

    @property
    def long_name(self) -> str:
        """The long window as the field writes it, in lab time: 1h, 6h, 1d, 3d."""
        return lab_duration(self.long_hours)

    @property
    def short_name(self) -> str:
        """The short window as the field writes it, in lab time: 5m, 30m, 2h, 6h."""
        return lab_duration(self.short_hours)


BURN_WINDOWS: tuple[BurnWindow, ...] = (
    BurnWindow(14.4, 1, 5 / 60, "critical"),
    BurnWindow(6, 6, 0.5, "critical"),
    BurnWindow(3, 24, 2, "warning"),
    BurnWindow(1, 72, 6, "warning"),
)


def lab_duration(hours: float) -> str:
    """A span of lab time in Prometheus' notation: whole minutes, hours or days."""
    if hours < 1:
        return f"{round(hours * 60)}m"
    return f"{round(hours / 24)}d" if hours >= 24 else f"{round(hours)}h"


def window_seconds(hours: float, scale: TimeScale) -> float:
    """The real length of a window of lab hours, in seconds, never below `SHORTEST_SECONDS`."""
    return max(scale.real(hours=hours), SHORTEST_SECONDS)


def prometheus_duration(seconds: float) -> str:
    """A real span in Prometheus' notation, exact to the millisecond."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
