"""Server-side apply: merge a declared intent, refuse conflicts, drop what the manager no longer declares.

Source: sigs.k8s.io/structured-merge-diff/merge/update.go and k8s.io/apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.schema import Schema
from lab.kube.status import StatusError
from lab.localkube.registry.ownership import (
    Manager,
    Path,
    fields_of,
    has_keys,
    is_atomic,
    item_element,
    item_schema,
    member_schema,
    read_managers,
)

_METADATA: Path = ("f:metadata",)
"""Always there, whoever owns anything in it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The merged object, and who owns what in it."""

    obj: KubeObject
    managers: list[Manager]


def apply_intent(
    live: KubeObject, intent: KubeObject, schema: Schema, author: Manager, *, force: bool
) -> Applied:
    """Merge a manager's whole intent into the live object.

    Raises StatusError 409 with a cause for every field that another manager set to something else.
    """
    others, last, last_time = [], frozenset[Path](), author.time
    managers = read_managers(live["metadata"]) or _before_first_apply(live, schema, author)
    for manager in managers:
        if manager.is_same(author):
            last, last_time = manager.paths, manager.time
        else:
            others.append(manager)
    wanted = fields_of(intent, schema, author.subresource)
    present = fields_of(live, schema, author.subresource)
    contested = {path for path, value in wanted.items() if path in present and present[path] != value}
    conflicts = [(manager, path) for manager in others for path in sorted(manager.paths & contested)]
    if conflicts and not force:
        raise _conflict(conflicts)
    others = [replace(manager, paths=manager.paths - contested) for manager in others]
    merged = _merge(live, intent, schema)
    kept = frozenset().union(*(manager.paths for manager in others)) if others else frozenset[Path]()
    _prune(merged, schema, last, frozenset(wanted), kept)
    owned = frozenset(wanted)
    author = replace(author, paths=owned, time=last_time if owned == last else author.time)
    return Applied(merged, [*others, author])


def _before_first_apply(live: KubeObject, schema: Schema, author: Manager) -> list[Manager]:
    """An object that nobody tracked belongs to those who wrote it before."""
    if not live.get("spec") and not live["metadata"].get("uid"):
        return []
    paths = frozenset(fields_of(live, schema, author.subresource))
    return [Manager("before-first-apply", "Update", author.api_version, author.subresource, "", paths)]


def readable(path: Path) -> str:
    """A path as people read it: `.spec.containers[name="c"].image`."""
    text = ""
    for element in path:
        kind, rest = element[:2], element[2:]
        if kind == "f:":
            text += f".{rest}"
        elif kind == "k:":
            text += f"[{rest[1:-1].replace(chr(34), '', 1).replace(chr(34) + ':', '=', 1)}]"
        else:
            text += f"[={rest}]"
    return text


def _conflict(conflicts: list[tuple[Manager, Path]]) -> StatusError:
    causes, by_manager = [], defaultdict(list)
    for manager, path in conflicts:
        message = f"conflict with {manager.described()}"
        causes.append({"reason": "FieldManagerConflict", "message": message, "field": readable(path)})
        by_manager[manager.described()].append(readable(path))
    parts = []
    for name, fields in sorted(by_manager.items()):
        if len(fields) == 1:
            parts.append(f"conflict with {name}: {fields[0]}")
        else:
            parts.append(f"conflicts with {name}:\n" + "\n".join(f"- {field}" for field in fields))
    plural = "s" if len(conflicts) > 1 else ""
    message = f"Apply failed with {len(conflicts)} conflict{plural}: " + "\n".join(parts)
    return StatusError(409, "Conflict", message, details={"causes": causes})


def _merge(live: Any, intent: Any, schema: Schema | None) -> Any:
    if schema is None or is_atomic(schema):
        return intent
    if isinstance(live, dict) and isinstance(intent, dict):
        merged = dict(live)
        for field, value in intent.items():
            merged[field] = _merge(live.get(field), value, member_schema(schema, field))
        return merged
    if isinstance(live, list) and isinstance(intent, list) and has_keys(schema):
        return _merge_items(live, intent, schema)
    return intent


def _merge_items(live: list[Any], intent: list[Any], schema: Schema) -> list[Any]:
    inner = item_schema(schema)
    have = {item_element(item, schema): item for item in live}
    want = {item_element(item, schema): item for item in intent}
    merged = {key: _merge(have[key], item, inner) if key in have else item for key, item in want.items()}
    if have.keys() <= want.keys():
        return [*merged.values()]
    order = [*have, *(key for key in want if key not in have)]
    return [merged.get(key, have.get(key)) for key in order]


def _prefixes(paths: Iterable[Path]) -> set[Path]:
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


def _prune(
    merged: KubeObject, schema: Schema, last: frozenset[Path], wanted: frozenset[Path], kept: frozenset[Path]
) -> None:
    """Remove what the manager owned, no longer declares, and nobody else owns; in place."""
    held = _prefixes(kept) | {_METADATA}
    dropped: list[Path] = []
    for path in sorted(_prefixes(last) - _prefixes(wanted), key=len):
        if path not in held and not any(path[: len(gone)] == gone for gone in dropped):
            _remove(merged, path, schema)
            dropped.append(path)


def _remove(value: Any, path: Path, schema: Schema | None) -> None:
    for depth, element in enumerate(path):
        last = depth == len(path) - 1
        if schema is None:
            return
        if isinstance(value, dict) and element[:2] == "f:":
            field = element[2:]
            if field not in value:
                return
            if last:
                del value[field]
                return
            copied = value[field] = _shallow(value[field])
            value, schema = copied, member_schema(schema, field)
        elif isinstance(value, list):
            at = next((i for i, item in enumerate(value) if item_element(item, schema) == element), None)
            if at is None:
                return
            if last:
                del value[at]
                return
            copied = value[at] = _shallow(value[at])
            value, schema = copied, item_schema(schema)
        else:
            return


def _shallow(value: Any) -> Any:
    """A copy of one level: the live object's own parts must stay as they are."""
    if isinstance(value, dict):
        return dict(value)
    return list(value) if isinstance(value, list) else value
