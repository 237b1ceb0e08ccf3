"""The toil ledger: measured incidents, projected with a declared frequency, before and with automation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from lab.core.clock import TimeScale
from lab.core.exercise import Toil
from lab.economics.handling import Measured, measure, people_minutes, recovery_minutes
from lab.economics.statistics import Interval, bootstrap_difference, fmean, median_difference

WEEKS_PER_MONTH = 52 / 12
MONTHS = 12

Rows = Iterable[Mapping[str, Any]]
_Held = tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Investment:
    """What the automation costs to have: hours to build it once, hours a month to keep it. Declared."""

    build_hours: float
    upkeep_hours: float = 0.0

    def __post_init__(self) -> None:
        if self.build_hours < 0 or self.upkeep_hours < 0:
            raise ValueError("hours invested cannot be negative")


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A way of working in figures. minutes: people's time per occurrence, its mean, because the total is what
    is paid; source: `measured` or `declared`. The rest follows from it and the declared frequency."""

    name: str
    source: str
    minutes: float
    interval: Interval | None
    per_month: float
    hours_per_month: float
    hours_interval: Interval | None
    cost_per_month: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything `lab ledger` shows. An absent part (nothing measured, nothing declared) is None.

    saved_*: before minus after. recovery_saved: difference of the median minutes to recover; `shown` is
    whether its interval excludes zero. return_on_investment: (saved - invested) / invested over 12 months.
    break_even_incidents: how many occurrences until the building hours are earned back.
    """

    task: str
    per_week: float
    hourly_cost: float
    before: LedgerRow
    after: LedgerRow | None = None
    before_measured: Measured | None = None
    after_measured: Measured | None = None
    saved_hours_per_month: float | None = None
    saved_cost_per_month: float | None = None
    saved_interval: Interval | None = None
    recovery_saved: Interval | None = None
    investment: Investment | None = None
    return_on_investment: float | None = None
    break_even_months: float | None = None
    break_even_incidents: float | None = None

    @property
    def shown(self) -> bool:
        """Is the recovery shown to be quicker, given how few incidents were seen?"""
        return self.recovery_saved is not None and self.recovery_saved.low > 0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return asdict(self) | {"shown": self.shown}


def ledger(
    toil: Toil,
    scale: TimeScale,
    *,
    before: tuple[Rows, Rows] | None = None,
    after: tuple[Rows, Rows] | None = None,
    investment: Investment | None = None,
    seed: int = 1,
) -> Ledger:
    """Make the ledger of a task.

    before and after are (incidents, fault journal) as the pager and the injector give them: a run with
    people only, and one with the automation. Without `before` the declared minutes stand in, and the row
    says so. Raises KeyError or ValueError when rows are not in the wire form.
    """
    was = _held(before)
    now = _held(after)
    measured_before = measure(*was, scale, seed) if was else None
    measured_after = measure(*now, scale, seed) if now else None
    first = _measured_row("before", measured_before, toil)
    if first is None:
        first = _row("before", "declared", toil.minutes, None, toil)
    second = _measured_row("with automation", measured_after, toil)
    made = Ledger(
        task=toil.task,
        per_week=toil.per_week,
        hourly_cost=toil.hourly_cost,
        before=first,
        after=second,
        before_measured=measured_before,
        after_measured=measured_after,
        investment=investment,
    )
    return made if second is None else _compare(made, toil, second, was, now, scale, seed)


def _compare(
    made: Ledger,
    toil: Toil,
    after: LedgerRow,
    was: _Held | None,
    now: _Held | None,
    scale: TimeScale,
    seed: int,
) -> Ledger:
    saved_hours = made.before.hours_per_month - after.hours_per_month
    saved_interval = recovery_saved = None
    if was and now:
        minutes = [people_minutes(*rows, scale) for rows in (was, now)]
        difference = bootstrap_difference(minutes[0], minutes[1], seed, fmean)
        saved_interval = _scaled(difference, made.before.per_month / 60)
        recovery = [recovery_minutes(rows[1], scale) for rows in (was, now)]
        recovery_saved = median_difference(recovery[0], recovery[1])
    compared = replace(
        made,
        saved_hours_per_month=saved_hours,
        saved_cost_per_month=saved_hours * toil.hourly_cost,
        saved_interval=saved_interval,
        recovery_saved=recovery_saved,
    )
    return compared if made.investment is None else _returns(compared, made.investment, saved_hours)


def _returns(made: Ledger, spent: Investment, saved_hours: float) -> Ledger:
    net = saved_hours - spent.upkeep_hours
    invested = spent.build_hours + MONTHS * spent.upkeep_hours
    months = spent.build_hours / net if net > 0 else None
    return replace(
        made,
        return_on_investment=(MONTHS * saved_hours - invested) / invested if invested > 0 else None,
        break_even_months=months,
        break_even_incidents=None if months is None else months * made.before.per_month,
    )


def _measured_row(name: str, measured: Measured | None, toil: Toil) -> LedgerRow | None:
    if measured is None or measured.hands_on_mean is None:
        return None
    return _row(name, "measured", measured.hands_on_mean, measured.hands_on_interval, toil)


def _row(name: str, source: str, minutes: float, interval: Interval | None, toil: Toil) -> LedgerRow:
    per_month = toil.per_week * WEEKS_PER_MONTH
    hours = per_month * minutes / 60
    return LedgerRow(
        name=name,
        source=source,
        minutes=minutes,
        interval=interval,
        per_month=per_month,
        hours_per_month=hours,
        hours_interval=_scaled(interval, per_month / 60),
        cost_per_month=hours * toil.hourly_cost,
    )


def _scaled(interval: Interval | None, factor: float) -> Interval | None:
    if interval is None:
        return None
    return Interval(interval.low * factor, interval.high * factor, interval.level)


def _held(rows: tuple[Rows, Rows] | None) -> _Held | None:
    return None if rows is None else (list(rows[0]), list(rows[1]))
