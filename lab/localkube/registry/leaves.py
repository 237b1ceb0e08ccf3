"""The paths of the fields in an object that managers may own, found by its schema.

A path is a tuple of elements in the FieldsV1 notation: `f:name`, `k:{"name":"c"}` for an item of a keyed
list, `v:"x"` for a member of a set. Source: sigs.k8s.io/structured-merge-diff/typed.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import orjson

from lab.kube.schema import Schema, resolve

Path: TypeAlias = tuple[str, ...]

_KEY_DEFAULTS = {"protocol": "TCP"}
_OPEN = "x-kubernetes-preserve-unknown-fields"
_ANYTHING: Schema = {_OPEN: True}
"""The schema of what a schema leaves open: maps are looked into, lists are not."""

MEMBER = True
"""The value of a path that is a keyed item, a map or a list itself, not what is in it."""


def is_atomic(schema: Schema | None) -> bool:
    """Is a map or list owned and replaced as a whole?"""
    return schema is None or _is_atomic(schema, resolve(schema))


def _is_atomic(schema: Schema, target: Schema) -> bool:
    if target.get(_OPEN):
        return False
    if "additionalProperties" not in target and "properties" not in target and "items" not in target:
        return True
    if "items" in target:
        return schema.get("x-kubernetes-list-type", "atomic") not in ("map", "set")
    return "atomic" in (schema.get("x-kubernetes-map-type"), target.get("x-kubernetes-map-type"))


def member_schema(schema: Schema, field: str) -> Schema | None:
    """The schema of a map's member, or None when nothing is known about it."""
    return _member(resolve(schema), field)


def _member(target: Schema, field: str) -> Schema | None:
    found = target.get("properties", {}).get(field, target.get("additionalProperties"))
    if found is None and target.get(_OPEN):
        return _ANYTHING
    return found if isinstance(found, dict) else None


def item_schema(schema: Schema) -> Schema | None:
    """The schema of a list's items."""
    found = resolve(schema).get("items")
    return found if isinstance(found, dict) else None


def has_keys(schema: Schema) -> bool:
    """Are a list's items owned one by one?"""
    return not is_atomic(schema) and item_schema(schema) is not None


def item_element(item: Any, schema: Schema) -> str:
    """The path element of an item of a keyed list or of a set."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys or not isinstance(item, dict):
        return "v:" + orjson.dumps(item).decode()
    identity = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in sorted(keys)}
    present = {key: value for key, value in identity.items() if value is not None}
    return "k:" + orjson.dumps(present).decode()


def leaves(value: Any, schema: Schema | None, *, containers: bool = False) -> dict[Path, Any]:
    """Every owned path of a value, with what is there.

    containers: with the maps and lists between.
    """
    found: dict[Path, Any] = {}
    _collect(value, schema, (), containers, found)
    return found


def _collect(value: Any, schema: Schema | None, path: Path, containers: bool, found: dict[Path, Any]) -> None:
    target = resolve(schema) if schema is not None and isinstance(value, (dict, list)) else None
    if schema is not None and target is not None and not _is_atomic(schema, target):
        if isinstance(value, dict):
            if value:
                if containers and path:
                    found[path] = MEMBER
                for field, member in value.items():
                    _collect(member, _member(target, field), (*path, f"f:{field}"), containers, found)
                return
        elif isinstance(target.get("items"), dict):
            _collect_items(value, schema, target["items"], path, containers, found)
            return
    if containers and value == {}:
        if path and (target is None or "additionalProperties" not in target):  # an empty map is none
            found[path] = MEMBER
    elif path:
        found[path] = value


def _collect_items(
    value: list[Any], schema: Schema, inner: Schema, path: Path, containers: bool, found: dict[Path, Any]
) -> None:
    if containers and value:
        found[path] = MEMBER
    for item in value:
        at = (*path, item_element(item, schema))
        found[at] = MEMBER
        if isinstance(item, dict):
            _collect(item, inner, at, containers, found)
