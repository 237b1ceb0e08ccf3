"""The lists of a strategic merge patch: what tells their items apart, and the order in which they end up.

Source: k8s.io/apimachinery/pkg/util/strategicpatch/patch.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.kube.patch import PatchError

Identity = tuple[type, Any]
"""A merge key's value or a scalar, with its type: true, 1 and 1.0 are three."""


def arrange(merged: list[Any], order: list[Any], server: list[Any], merge_key: str) -> list[Any]:
    """What the patch orders in its order, all else in the server's, woven together by the server's."""
    named = _positions(order, merge_key)
    known = _positions(server, merge_key)
    keyed = [(identity(item, merge_key), item) for item in merged]
    mine = _sorted([pair for pair in keyed if pair[0] in named], named)
    others = _sorted([pair for pair in keyed if pair[0] not in named], known)
    result: list[Any] = []
    while mine and others:
        left, right = others[0][0], mine[0][0]
        first = left in known and right in known and known[left] < known[right]
        result.append((others if first else mine).pop(0)[1])
    return result + [item for _, item in mine + others]


def _positions(items: list[Any], merge_key: str) -> dict[Identity, int]:
    found: dict[Identity, int] = {}
    for position, item in enumerate(items):
        found.setdefault(identity(item, merge_key), position)
    return found


def _sorted(pairs: list[Any], positions: Mapping[Identity, int]) -> list[Any]:
    """By position; what has none comes before all that stands ahead of it, as in upstream's sort."""
    result: list[Any] = []
    for pair in pairs:
        at = len(result)
        while at:
            mine, before = positions.get(pair[0]), positions.get(result[at - 1][0])
            if mine is not None and before is not None and mine >= before:
                break
            at -= 1
        result.insert(at, pair)
    return result


def each_once(values: list[Any]) -> list[Any]:
    """Without what is there already; the last value fills the gap that a repeated one leaves."""
    at = 0
    while at < len(values):
        later = at + 1
        while later < len(values):
            if identity(values[at], "") == identity(values[later], ""):
                values[later] = values[-1]
                values.pop()
            else:
                later += 1
        at += 1
    return values


def key_of(item: Mapping[str, Any], merge_key: str) -> Identity | None:
    value = item.get(merge_key)
    return (type(value), value) if merge_key in item else None


def identity(item: Any, merge_key: str) -> Identity:
    """What tells an item from the others of its list: its merge key, or the scalar that it is."""
    if merge_key:
        if not isinstance(item, dict) or merge_key not in item:
            raise PatchError(f"map: {item} does not contain declared merge key: {merge_key}")
        item = item[merge_key]
    if isinstance(item, (dict, list)):
        raise PatchError(f"expected a scalar, but received a {type(item).__name__}")
    return type(item), item


def element_type(*lists: list[Any]) -> type:
    """The one type of all items. Raises PatchError when there is no item or more than one type."""
    types = {type(item) for items in lists for item in items}
    if not types:
        raise PatchError("no elements in any of the given slices")
    if len(types) > 1 or types & {type(None)}:
        raise PatchError(f"list element types are not identical: {list(lists)}")
    if types == {list}:
        raise PatchError("lists of lists are not supported")
    return types.pop()
