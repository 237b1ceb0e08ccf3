"""The functions that Kubernetes adds to the language: optionals, strings, lists, regular expressions.

Loaded only for an expression that does not compile without them.

Source: k8s.io/apiserver/pkg/cel/library/{lists,regex}.go.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any


def extensions() -> list[Any]:
    """The extensions of an environment that has everything."""
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_optional, ext_strings

    kind = cel.Type
    items = kind.List(kind.DYN)

    def function(name: str, gives: Any, takes: list[Any], does: Callable[..., Any]) -> Any:
        overload = cel.Overload(f"kubernetes_{name}_{len(takes)}", gives, [*takes], is_member=True, impl=does)
        return cel.FunctionDecl(name, [overload])

    lists = [
        function("isSorted", kind.BOOL, [items], is_sorted),
        function("sum", kind.DYN, [items], sum),
        function("min", kind.DYN, [items], min),
        function("max", kind.DYN, [items], max),
        function("indexOf", kind.INT, [items, kind.DYN], index_of),
        function("lastIndexOf", kind.INT, [items, kind.DYN], last_index_of),
    ]
    text = kind.STRING
    patterns = [
        function("find", text, [text, text], find),
        function("findAll", kind.List(text), [text, text], find_all),
    ]
    return [
        ext_optional.ExtOptional(),
        ext_strings.ExtStrings(),
        cel.CelExtension("kubernetes", [*lists, *patterns]),
    ]


def is_sorted(items: list[Any]) -> bool:
    """Is no item smaller than the one before it?"""
    return all(first <= second for first, second in itertools.pairwise(items))


def index_of(items: list[Any], item: Any) -> int:
    """The first place of an item, -1 when it is not there."""
    return items.index(item) if item in items else -1


def last_index_of(items: list[Any], item: Any) -> int:
    """The last place of an item, -1 when it is not there."""
    return len(items) - 1 - items[::-1].index(item) if item in items else -1


def find(text: str, pattern: str) -> str:
    """The first match of a regular expression, empty when there is none."""
    found = re.search(pattern, text)
    return found[0] if found else ""


def find_all(text: str, pattern: str) -> list[str]:
    """Every match of a regular expression."""
    return [match[0] for match in re.finditer(pattern, text)]
