"""Cron schedules: five fields, names, steps and @macros, as robfig/cron's standard parser reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
HORIZON = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due. `every` is set for `@every`; then the fields mean nothing."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    either_day: bool = False
    every: timedelta | None = None

    def next(self, after: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first due instant after another, in UTC; None when there is none within five years.

        A local time that a change of clocks skips is passed over.
        """
        if self.every is not None:
            return after.replace(microsecond=0) + self.every
        local = after.astimezone(zone)
        day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        end = day + HORIZON
        while day < end:
            if day.month in self.months and self._day_fits(day):
                found = self._in_day(day, after, zone)
                if found is not None:
                    return found
            day += timedelta(days=1)
        return None

    def _day_fits(self, day: datetime) -> bool:
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (of_month or of_week) if self.either_day else (of_month and of_week)

    def _in_day(self, day: datetime, after: datetime, zone: tzinfo) -> datetime | None:
        for hour in sorted(self.hours):
            for minute in sorted(self.minutes):
                wall = day.replace(hour=hour, minute=minute)
                instant = wall.replace(tzinfo=zone).astimezone(UTC)
                if instant > after and instant.astimezone(zone).replace(tzinfo=None) == wall:
                    return instant
        return None


def parse_schedule(text: str) -> Schedule:
    """Read a schedule. Raises ValueError with what is wrong in it."""
    text = text.strip()
    if text.startswith("@every "):
        return Schedule(every=_duration(text.removeprefix("@every ").strip()))
    fields = MACROS.get(text.lower(), text).split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {text!r}")
    minute, hour, day, month, weekday = fields
    return Schedule(
        minutes=_field(minute, 0, 59),
        hours=_field(hour, 0, 23),
        days=_field(day, 1, 31),
        months=_field(month, 1, 12, MONTHS, 1),
        weekdays=frozenset(each % 7 for each in _field(weekday, 0, 7, DAYS, 0)),
        either_day=not _starred(day) and not _starred(weekday),
    )


def _starred(field: str) -> bool:
    return field[0] in "*?"


def _field(text: str, low: int, high: int, names: tuple[str, ...] = (), first: int = 0) -> frozenset[int]:
    """The numbers that one field allows."""

    def number(word: str) -> int:
        word = word.lower()
        value = names.index(word) + first if word in names else int(word) if word.isdigit() else -1
        if not low <= value <= high:
            raise ValueError(f"{word!r} is not between {low} and {high}")
        return value

    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if step_text.isdigit() else 0 if slash else 1
        if step < 1:
            raise ValueError(f"the step of {part!r} is not a positive number")
        start, dash, stop = span.partition("-")
        if span in ("*", "?"):
            bounds = (low, 6 if names is DAYS else high)
        elif dash:
            bounds = (number(start), number(stop))
        else:
            bounds = (number(start), high if slash else number(start))
        if bounds[0] > bounds[1]:
            raise ValueError(f"the range {part!r} runs backwards")
        found |= set(range(bounds[0], bounds[1] + 1, step))
    return frozenset(found)


def _duration(text: str) -> timedelta:
    """A Go duration of h, m and s, such as 1h30m. Raises ValueError."""
    seconds, number = 0.0, ""
    for character in text:
        if character.isdigit() or character == ".":
            number += character
        elif character in "hms" and number:
            seconds += float(number) * {"h": 3600, "m": 60, "s": 1}[character]
            number = ""
        else:
            raise ValueError(f"{text!r} is not a duration such as 1h30m")
    if number or seconds < 1:
        raise ValueError(f"{text!r} is not a duration of at least 1s")
    return timedelta(seconds=seconds)
