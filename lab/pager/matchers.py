"""Label matchers in Alertmanager's syntax: `name="value"`, `!=`, `=~`, `!~`.

Regular expressions are anchored, as in Prometheus. Only a safe part of their syntax is taken, because a
matcher may come from an untrusted program and Python's engine backtracks: literals, `.`, `|`, character
classes, and at most two of `*`, `+`, `?`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_MATCHERS = 20
MAX_PATTERN = 200
MAX_REPEATS = 2

_SYNTAX = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^"\s{}]*))\s*')
_ESCAPE = re.compile(r'\\(["\\n])')


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; an absent label has the value "". `pattern` is set for =~ and !~."""

    name: str
    operator: str
    value: str
    pattern: re.Pattern[str] | None = field(default=None, compare=False)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Does the condition hold for these labels?"""
        found = labels.get(self.name, "")
        hit = found == self.value if self.pattern is None else self.pattern.fullmatch(found) is not None
        return hit is not self.operator.startswith("!")

    def as_dict(self) -> dict[str, Any]:
        """Alertmanager's object."""
        return {
            "name": self.name,
            "value": self.value,
            "isRegex": self.pattern is not None,
            "isEqual": not self.operator.startswith("!"),
        }

    def __str__(self) -> str:
        escaped = self.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'{self.name}{self.operator}"{escaped}"'


def parse_matcher(text: str) -> Matcher:
    """Read one matcher. Raises ValueError."""
    found = _SYNTAX.fullmatch(text) if len(text) <= 2000 else None
    if found is None:
        raise ValueError(f'{text[:80]!r} is not a matcher; write name="value", or one with !=, =~ or !~')
    name, operator, quoted, plain = found.groups()
    value = _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], quoted) if quoted is not None else plain
    return Matcher(name, operator, value, _pattern(value) if "~" in operator else None)


def _pattern(value: str) -> re.Pattern[str]:
    refused = next((part for part in ("(", "{", "\\") if part in value), "")
    repeats = sum(value.count(sign) for sign in "*+?")
    if refused or len(value) > MAX_PATTERN or repeats > MAX_REPEATS:
        why = f"{refused!r} is not supported" if refused else "it is too long or repeats too much"
        raise ValueError(f"the regular expression {value[:60]!r} is refused: {why}")
    try:
        return re.compile(value, re.DOTALL)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from error


def parse_matchers(value: Any) -> tuple[Matcher, ...]:
    """Matchers as a list of texts, as a list of Alertmanager objects `{name, value, isRegex, isEqual}`, or as
    an object of equal labels. None means none. Raises ValueError."""
    if value is None:
        return ()
    if isinstance(value, dict):
        value = [{"name": name, "value": text} for name, text in value.items()]
    if not isinstance(value, list) or len(value) > MAX_MATCHERS:
        raise ValueError(f"matchers must be a list of at most {MAX_MATCHERS}")
    return tuple(_one(item) for item in value)


def _one(item: Any) -> Matcher:
    if isinstance(item, str):
        return parse_matcher(item)
    if not isinstance(item, dict) or not isinstance(item.get("value"), str):
        raise ValueError("a matcher is a text or an object with name and value")
    operators = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
    operator = operators[bool(item.get("isEqual", True)), bool(item.get("isRegex", False))]
    matcher = Matcher(str(item.get("name")), operator, item["value"])
    return parse_matcher(str(matcher))


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Do all conditions hold? True when there are none."""
    return all(matcher.matches(labels) for matcher in matchers)
