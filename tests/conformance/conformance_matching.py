"""Is a value what a case expects? Maps are subsets, all else is equal, and a map of one `$word` is a matcher.

$any            there, and not null
$absent         not there
{$matches: R}   a text in which the regular expression R is found
{$exactly: V}   equal, maps included
{$not: V}       does not match V
{$contains: Vs} a list with an item for each V
{$without: Vs}  a list with no item for any V
{$length: N}    so many items or characters
{$above: V}     a greater number, also as text
{$json: V}      a text that is JSON and matches V
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_MISSING = object()


def mismatches(expected: Any, seen: Any, at: str = "") -> list[str]:
    """Every difference, as `at .spec.replicas: expected 1, seen 2`; empty when the value is as expected."""
    return list(_differences(expected, seen, at))


def check_expected(expected: Any) -> None:
    """Refuse what nothing can be held against. Raises ValueError, or re.error for a bad pattern."""
    _matcher(expected)
    if isinstance(expected, Mapping):
        for key, member in expected.items():
            if key == "$matches":
                re.compile(member)
            check_expected(member)
    elif isinstance(expected, list):
        for member in expected:
            check_expected(member)


def _differences(expected: Any, seen: Any, at: str) -> Iterator[str]:
    matcher = _matcher(expected)
    if matcher is not None:
        yield from matcher(seen, at)
    elif isinstance(expected, Mapping):
        if not isinstance(seen, Mapping):
            yield _wrong(at, expected, seen)
            return
        for key, member in expected.items():
            yield from _differences(member, seen.get(key, _MISSING), f"{at}.{key}")
    elif isinstance(expected, list):
        if not isinstance(seen, list) or len(seen) != len(expected):
            yield _wrong(at, expected, seen)
            return
        for index, member in enumerate(expected):
            yield from _differences(member, seen[index], f"{at}[{index}]")
    elif isinstance(expected, bool) != isinstance(seen, bool) or expected != seen:
        yield _wrong(at, expected, seen)


def _wrong(at: str, expected: Any, seen: Any) -> str:
    return f"at {at or '.'}: expected {_shown(expected)}, seen {_shown(seen)}"


def _shown(value: Any) -> str:
    if value is _MISSING:
        return "nothing"
    text = json.dumps(value, default=str)
    return text if len(text) <= 600 else f"{text[:600]}…"


Matcher = Callable[[Any, str], Iterator[str]]


def _matcher(expected: Any) -> Matcher | None:
    if isinstance(expected, str) and expected in ("$any", "$absent"):
        return _any if expected == "$any" else _absent
    if isinstance(expected, Mapping) and len(expected) == 1:
        word, operand = next(iter(expected.items()))
        if str(word).startswith("$"):
            make = _MATCHERS.get(word)
            if make is None:
                raise ValueError(f"there is no matcher {word}; there are {', '.join(_MATCHERS)}")
            return lambda seen, at: make(operand, seen, at)
    return None


def _any(seen: Any, at: str) -> Iterator[str]:
    if seen is _MISSING or seen is None:
        yield _wrong(at, "anything", seen)


def _absent(seen: Any, at: str) -> Iterator[str]:
    if seen is not _MISSING:
        yield _wrong(at, "nothing", seen)


def _matches(operand: Any, seen: Any, at: str) -> Iterator[str]:
    if not isinstance(seen, str) or re.search(operand, seen) is None:
        yield _wrong(at, f"a text with {operand}", seen)


def _exactly(operand: Any, seen: Any, at: str) -> Iterator[str]:
    if operand != seen:
        yield _wrong(at, operand, seen)


def _not(operand: Any, seen: Any, at: str) -> Iterator[str]:
    if not mismatches(operand, seen):
        yield _wrong(at, f"something other than {_shown(operand)}", seen)


def _contains(operand: Any, seen: Any, at: str) -> Iterator[str]:
    for wanted in operand:
        if not isinstance(seen, list) or all(mismatches(wanted, member) for member in seen):
            yield _wrong(at, f"an item {_shown(wanted)}", seen)


def _without(operand: Any, seen: Any, at: str) -> Iterator[str]:
    if not isinstance(seen, list):
        yield _wrong(at, "a list", seen)
        return
    for unwanted in operand:
        if any(not mismatches(unwanted, member) for member in seen):
            yield _wrong(at, f"no item {_shown(unwanted)}", seen)


def _length(operand: Any, seen: Any, at: str) -> Iterator[str]:
    if not isinstance(seen, (str, list, dict)) or len(seen) != operand:
        yield _wrong(at, f"{operand} of them", seen)


def _above(operand: Any, seen: Any, at: str) -> Iterator[str]:
    try:
        greater = float(seen) > float(operand)
    except (TypeError, ValueError):
        greater = False
    if not greater:
        yield _wrong(at, f"a number above {operand}", seen)


def _json(operand: Any, seen: Any, at: str) -> Iterator[str]:
    try:
        value = json.loads(seen)
    except (TypeError, ValueError):
        yield _wrong(at, "JSON", seen)
        return
    yield from mismatches(operand, value, at)


_MATCHERS: Mapping[str, Callable[[Any, Any, str], Iterator[str]]] = {
    "$matches": _matches,
    "$exactly": _exactly,
    "$not": _not,
    "$contains": _contains,
    "$without": _without,
    "$length": _length,
    "$above": _above,
    "$json": _json,
}
