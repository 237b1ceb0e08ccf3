"""Instants in objects: read strictly, kept as Go's JSON writes them, and refused in Go's words.

Source: k8s.io/apimachinery/pkg/apis/meta/v1/{time,micro_time}.go and Go's time.Parse.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from lab.core.clock import parse_rfc3339

_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_LAYOUT = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", r"\d\d"),
    ("-", "-"),
    ("02", r"\d\d"),
    ("T", "T"),
    ("15", r"\d\d"),
    (":", ":"),
    ("04", r"\d\d"),
    (":", ":"),
    ("05", r"\d\d"),
)
_FRACTION = r"(?:[.,]\d+)?"
_PARTS = {
    "month": (5, 1, 12),
    "day": (8, 1, 31),
    "hour": (11, 0, 23),
    "minute": (14, 0, 59),
    "second": (17, 0, 59),
}
"""Where a part stands, its least and its greatest value."""

_ZONE = ("Z07:00", r"Z|[+-]\d\d:\d\d")


def read_time(text: str) -> str:
    """A metav1.Time in UTC and whole seconds. Raises ValueError with Go's sentence."""
    if _SECONDS.fullmatch(text) and _is_real(text):
        return text
    _check(text, "2006-01-02T15:04:05Z07:00", ("", _FRACTION))
    return _instant(text).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_micro_time(text: str) -> str:
    """A metav1.MicroTime in UTC, with exactly six digits. Raises ValueError with Go's sentence."""
    if _MICROSECONDS.fullmatch(text) and _is_real(text):
        return text
    _check(text, "2006-01-02T15:04:05.000000Z07:00", (".000000", r"[.,]\d{6}"))
    return _instant(text).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _is_real(text: str) -> bool:
    """Is it surely an instant of the calendar? A late day of a month needs another look."""
    return (
        "01" <= text[5:7] <= "12"
        and "01" <= text[8:10] <= "28"
        and text[11:13] < "24"
        and text[14:16] < "60"
        and text[17:19] < "60"
    )


def _check(text: str, layout: str, fraction: tuple[str, str]) -> None:
    rest = text
    for element, pattern in (*_LAYOUT, fraction, _ZONE):
        found = re.match(pattern, rest, re.ASCII)
        if found is None:
            raise ValueError(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{element}"')
        rest = rest[found.end() :]
    if rest:
        raise ValueError(f'parsing time "{text}": extra text: "{rest}"')


def _instant(text: str) -> datetime:
    try:
        return parse_rfc3339(text.replace(",", ".")).astimezone(UTC)
    except (ValueError, OverflowError):
        where = next((name for name, at in _PARTS.items() if not _fits(text, at)), "day")
        raise ValueError(f'parsing time "{text}": {where} out of range') from None


def _fits(text: str, at: tuple[int, int, int]) -> bool:
    start, least, most = at
    return least <= int(text[start : start + 2]) <= most
