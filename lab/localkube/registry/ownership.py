"""Field ownership: which manager set which field, as `metadata.managedFields` records it.

A path is a tuple of elements in the FieldsV1 notation: `f:name`, `k:{"name":"c"}` for an item of a keyed
list, `v:"x"` for a member of a set. Source: sigs.k8s.io/structured-merge-diff and
k8s.io/apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import orjson

from lab.kube.objects import KubeObject
from lab.kube.schema import Schema, resolve

Path: TypeAlias = tuple[str, ...]

_SERVER_FIELDS = frozenset(
    f"f:{field}"
    for field in (
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
        "generation",
        "selfLink",
        "managedFields",
    )
)
_KEY_DEFAULTS = {"protocol": "TCP"}
_OPEN = "x-kubernetes-preserve-unknown-fields"
_ANYTHING: Schema = {_OPEN: True}
"""The schema of what a schema leaves open: maps are looked into, lists are not."""

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


def leaves(value: Any, schema: Schema | None, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every owned path below a value, with the value there."""
    if isinstance(value, dict) and value and schema is not None and not is_atomic(schema):
        for field, member in value.items():
            yield from leaves(member, member_schema(schema, field), (*path, f"f:{field}"))
    elif isinstance(value, list) and value and schema is not None and has_keys(schema):
        inner = item_schema(schema)
        for item in value:
            at = (*path, item_element(item, schema))
            yield at, _MEMBER
            if isinstance(item, dict):
                yield from leaves(item, inner, at)
    elif path:
        yield path, value


def fields_of(obj: KubeObject, schema: Schema, subresource: str) -> dict[Path, Any]:
    """The paths of an object that managers may own, written through the main resource or `/status`."""
    owned = {}
    for path, value in leaves(obj, schema):
        if path[0] in ("f:apiVersion", "f:kind") or (path[0] == "f:metadata" and path[1:2] == ()):
            continue
        if path[0] == "f:metadata" and path[1] in _SERVER_FIELDS:
            continue
        if (path[0] == "f:status") != (subresource == "status") and path[0] in ("f:status", "f:spec"):
            continue
        owned[path] = value
    return owned


@dataclass(frozen=True, slots=True)
class Manager:
    """One entry of managedFields."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = ""
    paths: frozenset[Path] = frozenset()

    def is_same(self, other: Manager) -> bool:
        """Is it the same manager, whatever it owns?"""
        mine = (self.name, self.operation, self.subresource, self.api_version)
        return mine == (other.name, other.operation, other.subresource, other.api_version)

    def described(self) -> str:
        """How a conflict names it."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == "Update":
            text += f" using {self.api_version}" + (f" at {self.time}" if self.time else "")
        return text


def read_managers(metadata: KubeObject) -> list[Manager]:
    """The managers of an object."""
    return [
        Manager(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
            entry.get("time", ""),
            frozenset(_paths(entry.get("fieldsV1") or {})),
        )
        for entry in metadata.get("managedFields") or ()
    ]


def write_managers(metadata: KubeObject, managers: Iterable[Manager]) -> None:
    """Record the managers that own anything, in place."""
    entries = []
    for manager in sorted(managers, key=lambda m: (m.operation, m.time, m.name)):
        if not manager.paths:
            continue
        entry: KubeObject = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": _trie(manager.paths),
        }
        if manager.time:
            entry["time"] = manager.time
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    if entries:
        metadata["managedFields"] = entries
    else:
        metadata.pop("managedFields", None)


def _trie(paths: Iterable[Path]) -> KubeObject:
    root: KubeObject = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        if path[-1][:2] == "k:":
            node.setdefault(".", {})
    return root


def _paths(trie: Mapping[str, Any], prefix: Path = ()) -> Iterator[Path]:
    for element, below in trie.items():
        path = (*prefix, element)
        if element == ".":
            yield prefix
        elif not below:
            yield path
        else:
            yield from _paths(below, path)


def track_update(
    old: KubeObject, new: KubeObject, schema: Schema, managers: Iterable[Manager], author: Manager
) -> list[Manager]:
    """Managers after an ordinary write: who changes a field owns it, who owned it before no longer does."""
    before = fields_of(old, schema, author.subresource)
    after = fields_of(new, schema, author.subresource)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    gone = before.keys() - after.keys()
    result, mine = [], author
    for manager in managers:
        if manager.is_same(author):
            mine = replace(manager, paths=manager.paths)
        else:
            result.append(replace(manager, paths=manager.paths - changed - gone))
    owned = (mine.paths | changed) - gone
    result.append(replace(mine, paths=owned, time=mine.time if owned == mine.paths else author.time))
    return result
