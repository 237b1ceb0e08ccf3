"""Label and field selectors: the query-string syntax and the `LabelSelector` object.

Source: k8s.io/apimachinery/pkg/labels/selector.go, pkg/fields/selector.go, apis/meta/v1/helpers.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.kube.objects import KubeObject

_NAME = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)\Z")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_TOKEN = re.compile(r"\s*(==|!=|=|!|>|<|\(|\)|,|[^\s=!<>(),]+)")
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


class SelectorError(ValueError):
    """A selector that cannot be read; the message says where."""


def is_label_value(value: str) -> bool:
    """Is it empty, or at most 63 characters of letters, digits, `-`, `_` and `.`, ends alphanumeric?"""
    return value == "" or (len(value) <= 63 and bool(_NAME.match(value)))


def is_qualified_name(key: str) -> bool:
    """Is it a label or annotation key: `name` or `prefix/name`?"""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _PREFIX.match(prefix)):
        return False
    return 0 < len(name) <= 63 and bool(_NAME.match(name))


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition. `operator` is one of `in notin exists ! gt lt`; `=` is `in` of one value."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Does a set of labels meet it? A missing key meets `notin` and `!`."""
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        try:
            have, want = int(value or "x"), int(next(iter(self.values)))
        except ValueError:
            return False
        return have > want if self.operator == "gt" else have < want


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold. `nothing` matches no object, whatever the requirements."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def empty(self) -> bool:
        """Does it match everything?"""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Do the labels meet every requirement?"""
        if self.nothing:
            return False
        return all(requirement.matches(labels) for requirement in self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


class _Tokens:
    def __init__(self, text: str) -> None:
        self.text = text
        self.items = _TOKEN.findall(text)
        self.at = 0

    def peek(self) -> str:
        return self.items[self.at] if self.at < len(self.items) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def fail(self, expected: str, comma: str = ",") -> SelectorError:
        """What stands where something else should; upstream's sentences differ in a comma."""
        found = self.items[self.at - 1] if 0 < self.at <= len(self.items) else ""
        return SelectorError(f"unable to parse requirement: found '{found}'{comma} expected: {expected}")


_SYMBOLS = frozenset({"", "==", "!=", "=", "!", ">", "<", "(", ")", ","})


def _key(tokens: _Tokens) -> str:
    key = tokens.take()
    if key in _SYMBOLS:
        raise tokens.fail("identifier")
    if not is_qualified_name(key):
        raise SelectorError(
            f'unable to parse requirement: <nil>: Invalid value: "{key}": name part must consist of '
            "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
        )
    return key


def _value(value: str, key: str) -> str:
    if not is_label_value(value):
        raise SelectorError(
            f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": a valid label must be '
            "an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
            "with an alphanumeric character"
        )
    return value


def _value_set(tokens: _Tokens, key: str) -> frozenset[str]:
    if tokens.take() != "(":
        raise tokens.fail("'('", comma="")
    values: list[str] = []
    while True:
        token = tokens.peek()
        if token in (",", ")"):
            values.append("")
        elif token in _SYMBOLS:
            tokens.take()
            raise tokens.fail("',', ')' or identifier")
        else:
            values.append(_value(tokens.take(), key))
        end = tokens.take()
        if end == ")":
            return frozenset(values)
        if end != ",":
            raise tokens.fail("',' or ')'")


def _exact_value(tokens: _Tokens, key: str) -> frozenset[str]:
    if tokens.peek() in ("", ","):
        return frozenset({""})
    token = tokens.take()
    if token in _SYMBOLS:
        raise tokens.fail("identifier")
    return frozenset({_value(token, key)})


def _requirement(tokens: _Tokens) -> Requirement:
    if tokens.peek() == "!":
        tokens.take()
        return Requirement(_key(tokens), "!")
    key = _key(tokens)
    if tokens.peek() in ("", ","):
        return Requirement(key, "exists")
    operator = tokens.take()
    if operator in ("=", "=="):
        return Requirement(key, "in", _exact_value(tokens, key))
    if operator == "!=":
        return Requirement(key, "notin", _exact_value(tokens, key))
    if operator in (">", "<"):
        values = _exact_value(tokens, key)
        if not re.fullmatch(r"-?\d+", next(iter(values))):
            raise SelectorError("for 'Gt', 'Lt' operators, the value must be an integer")
        return Requirement(key, "gt" if operator == ">" else "lt", values)
    if operator in ("in", "notin"):
        return Requirement(key, operator, _value_set(tokens, key))
    raise tokens.fail("in, notin, =, ==, !=, gt, lt")


def parse_label_selector(text: str) -> LabelSelector:
    """Read `app=web,tier in (a,b),!canary`. An empty text matches everything.

    Raises SelectorError.
    """
    tokens = _Tokens(text)
    if not tokens.items:
        return EVERYTHING
    requirements = []
    while True:
        requirements.append(_requirement(tokens))
        end = tokens.take()
        if not end:
            return LabelSelector(tuple(requirements))
        if end != ",":
            raise tokens.fail("',' or 'end of string'")


def label_selector_from(selector: KubeObject | None) -> LabelSelector:
    """The matcher of a `LabelSelector` object: None matches nothing, an empty one everything.

    Raises SelectorError for an unknown operator or a wrong number of values.
    """
    if selector is None:
        return NOTHING
    requirements = [
        Requirement(key, "in", frozenset({value}))
        for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    for expression in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression.get("operator", ""))
        values = frozenset(expression.get("values") or ())
        if operator is None:
            raise SelectorError(f"{expression.get('operator')!r} is not a valid label selector operator")
        if (operator in ("in", "notin")) != bool(values):
            raise SelectorError(f"values do not fit operator {expression['operator']}")
        requirements.append(Requirement(expression["key"], operator, values))
    return LabelSelector(tuple(requirements))


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Conditions on fields: (field path, equal?, value), all of which must hold."""

    terms: tuple[tuple[str, bool, str], ...] = ()

    @property
    def empty(self) -> bool:
        """Does it match everything?"""
        return not self.terms

    def matches(self, value_of: Callable[[str], Any]) -> bool:
        """Do all terms hold? `value_of` gives a field's value as text by its path."""
        return all((value_of(path) == value) is equal for path, equal, value in self.terms)

    def exact(self, path: str) -> str | None:
        """The value that the selector requires of a field, or None."""
        return next((value for name, equal, value in self.terms if name == path and equal), None)


ALL_FIELDS = FieldSelector()
_UNESCAPED_COMMA = re.compile(r"(?<!\\),")
_FIELD_TERM = re.compile(r"((?:[^=!\\]|\\.)*)(==|!=|=)(.*)\Z", re.S)


def parse_field_selector(text: str) -> FieldSelector:
    r"""Read `status.phase=Running,spec.nodeName!=a`; `\,` `\=` and `\\` are literal in values.

    Raises SelectorError.
    """
    terms = []
    for term in filter(None, _UNESCAPED_COMMA.split(text)):
        found = _FIELD_TERM.match(term)
        if not found:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
        path, operator, value = found.groups()
        terms.append((path.strip(), operator != "!=", re.sub(r"\\([\\,=])", r"\1", value)))
    return FieldSelector(tuple(terms))
