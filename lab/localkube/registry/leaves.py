"""The paths of the fields in an object that managers may own, found by its schema.

A path is a tuple of elements in the FieldsV1 notation: `f:name`, `k:{"name":"c"}` for an item of a keyed
list, `v:"x"` for a member of a set. Source: sigs.k8s.io/structured-merge-diff/typed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, TypeAlias

import orjson

from lab.kube.schema import Schema, definitions, reference, resolve

Path: TypeAlias = tuple[str, ...]

_KEY_DEFAULTS = {"protocol": "TCP"}
_OPEN = "x-kubernetes-preserve-unknown-fields"
_ANYTHING: Schema = {_OPEN: True}
"""The schema of what a schema leaves open: maps are looked into, lists are not."""

_STRUCTURES = frozenset(
    (
        *(
            "backend",
            "current",
            "describedObject",
            "involvedObject",
            "jobTemplate",
            "lastState",
            "loadBalancer",
        ),
        *(
            "metadata",
            "metric",
            "podAffinityTerm",
            "podSelector",
            "port",
            "preference",
            "resources",
            "roleRef",
        ),
        *("scaleTargetRef", "source", "spec", "state", "status", "strategy", "target", "template"),
        "updateStrategy",
    )
)
"""Fields of built-in kinds that are structures and no pointers to them: an object has them, given or not."""

_WITHOUT_RESOURCES = frozenset(("containers", "containerID", "containerStatuses"))
"""Fields of the types where `resources` is a pointer after all."""
_NONE: frozenset[str] = frozenset()
_MEMBER = True
"""The value of a path that is a keyed item itself, not a field of it."""


def is_atomic(schema: Schema | None) -> bool:
    """Is a map or list owned and replaced as a whole?"""
    if schema is None:
        return True
    target = resolve(schema)
    if target.get(_OPEN):
        return False
    if "additionalProperties" not in target and "properties" not in target and "items" not in target:
        return True
    if "items" in target:
        return schema.get("x-kubernetes-list-type", "atomic") not in ("map", "set")
    return "atomic" in (schema.get("x-kubernetes-map-type"), target.get("x-kubernetes-map-type"))


def member_schema(schema: Schema, field: str) -> Schema | None:
    """The schema of a map's member, or None when nothing is known about it."""
    target = resolve(schema)
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


def leaves(
    value: Any, schema: Schema | None, path: Path = (), *, containers: bool = False
) -> Iterator[tuple[Path, Any]]:
    """Every owned path below a value, with the value there.

    containers: with the maps and lists between, also those that objects of this type have without being
    given.
    """
    if isinstance(value, dict) and schema is not None and not is_atomic(schema):
        always = _always_there(schema) if containers else _NONE
        if value or always:
            if containers and path:
                yield path, _MEMBER
            for field, member in value.items():
                inner, at = member_schema(schema, field), (*path, f"f:{field}")
                yield from leaves(member, inner, at, containers=containers)
            for field in always - value.keys():
                yield from leaves({}, member_schema(schema, field), (*path, f"f:{field}"), containers=True)
            return
    elif isinstance(value, list) and schema is not None and has_keys(schema):
        if not value:
            return
        if containers:
            yield path, _MEMBER
        inner = item_schema(schema)
        for item in value:
            at = (*path, item_element(item, schema))
            yield at, _MEMBER
            if isinstance(item, dict):
                yield from leaves(item, inner, at, containers=containers)
        return
    if containers and value == {}:
        if path and (schema is None or "additionalProperties" not in resolve(schema)):  # an empty map is none
            yield path, _MEMBER
    elif path:
        yield path, value


def _always_there(schema: Schema) -> frozenset[str]:
    name = reference(schema)
    return _always_in(name) if name else _fixed_fields(schema)


@functools.cache
def _always_in(name: str) -> frozenset[str]:
    return _fixed_fields(definitions()[name])


def _fixed_fields(target: Schema) -> frozenset[str]:
    """The fields of a type that its objects have even when nobody gave them."""
    properties, required = target.get("properties", {}), target.get("required", ())
    structures = {field for field in _STRUCTURES & properties.keys() if reference(properties[field])}
    if not _WITHOUT_RESOURCES.isdisjoint(properties):
        structures.discard("resources")
    lists = (field for field in required if properties.get(field, {}).get("type") == "array")
    return frozenset((*structures, *lists))
