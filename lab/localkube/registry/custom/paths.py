"""Simple JSON paths: those of printer columns, scale subresources and selectable fields.

    .spec.replicas   .metadata.annotations.a\\.b   .spec['x']   .items[0]   .items[*].name
    .status.conditions[?(@.type=="Ready")].status

Source: k8s.io/client-go/util/jsonpath.
"""

from __future__ import annotations

import functools
import operator as operators
import re
from collections.abc import Iterator
from typing import Any

import orjson

Step = tuple[str, Any]
"""("field", name), ("index", n), ("all", None) or ("where", (steps of the left side, operator, value))."""

_TOKEN = re.compile(
    r"""\.(?P<field>(?:\\.|[^.\[\]\\\s])+)
      | \[(?P<index>-?\d+)\]
      | (?P<all>\[\*\]|\.\*)
      | \['(?P<quoted>(?:\\.|[^'\\])*)'\]
      | \[\?\(\s*@(?P<left>(?:\.(?:\\.|[^.\[\]\s=!<>)])+)+)\s*
          (?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>"[^"]*"|'[^']*'|[^)\s]+)\s*)?\)\]""",
    re.VERBOSE,
)

_ORDERS = {"<": operators.lt, "<=": operators.le, ">": operators.gt, ">=": operators.ge}


class PathError(ValueError):
    """Something that is not a simple JSON path."""


@functools.lru_cache(maxsize=512)
def parse_path(text: str) -> tuple[Step, ...]:
    """The steps of a path. Raises PathError."""
    source = text if text.startswith((".", "[")) else f".{text}"
    steps: list[Step] = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise PathError(f"unrecognized character at {position + 1} in {text!r}")
        steps.append(_step(match))
        position = match.end()
    if not steps:
        raise PathError("an empty path")
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["index"] is not None:
        return ("index", int(match["index"]))
    if match["all"]:
        return ("all", None)
    if match["left"]:
        return ("where", (parse_path(match["left"]), match["operator"], _literal(match["value"])))
    name = match["field"] if match["field"] is not None else match["quoted"]
    return ("field", re.sub(r"\\(.)", r"\1", name))


def _literal(text: str | None) -> Any:
    if text is None:
        return None
    if text[0] in "\"'":
        return text[1:-1]
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def find_all(obj: Any, path: str) -> list[Any]:
    """Every value at a path, none where a step is missing. Raises PathError."""
    values = [obj]
    for step in parse_path(path):
        values = [found for value in values for found in _follow(value, step)]
    return values


def find_first(obj: Any, path: str) -> Any:
    """The first value at a path, or None. Raises PathError."""
    return next(iter(find_all(obj, path)), None)


def _follow(value: Any, step: Step) -> Iterator[Any]:
    kind, what = step
    if kind == "field":
        if isinstance(value, dict) and what in value:
            yield value[what]
    elif kind == "index":
        if isinstance(value, list) and -len(value) <= what < len(value):
            yield value[what]
    elif kind == "all":
        yield from value if isinstance(value, list) else ()
        yield from value.values() if isinstance(value, dict) else ()
    elif isinstance(value, list):
        yield from (item for item in value if _holds(item, *what))


def _holds(item: Any, left: tuple[Step, ...], operator: str | None, wanted: Any) -> bool:
    values = [item]
    for step in left:
        values = [found for value in values for found in _follow(value, step)]
    if operator is None or not values:
        return bool(values)
    have = values[0]
    if operator in ("==", "!="):
        return bool((have == wanted) == (operator == "=="))
    if type(have) is not type(wanted) or not isinstance(have, (int, float, str)):
        return False
    return bool(_ORDERS[operator](have, wanted))


def set_field(obj: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of an object with a field set; only plain fields may be on the way. Raises PathError."""
    result = dict(obj)
    steps, target = parse_path(path), result
    for position, (kind, name) in enumerate(steps):
        if kind != "field":
            raise PathError(f"{path!r} is more than a chain of fields")
        if position == len(steps) - 1:
            target[name] = value
        else:
            inner = target.get(name)
            copied = target[name] = dict(inner) if isinstance(inner, dict) else {}
            target = copied
    return result
