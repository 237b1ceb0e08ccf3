"""Server-side apply: merge a declared intent, refuse conflicts, drop what the manager no longer declares.

Source: sigs.k8s.io/structured-merge-diff/merge/update.go and k8s.io/apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from lab.kube.objects import KubeObject
from lab.kube.schema import Schema
from lab.kube.status import StatusError
from lab.localkube.registry.leaves import (
    Path,
    has_keys,
    is_atomic,
    item_element,
    item_schema,
    member_schema,
)
from lab.localkube.registry.ownership import Manager, created_fields, fields_of, read_managers

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
    merged = _merge(live, intent, schema)
    kept = frozenset().union(*(manager.paths for manager in others)) if others else frozenset[Path]()
    _prune(merged, schema, last, frozenset(wanted), kept)
    before = fields_of(live, schema, author.subresource, containers=True)
    after = fields_of(merged, schema, author.subresource, containers=True)
    contested = {path for path, value in after.items() if path not in before or before[path] != value}
    conflicts = [
        (manager, path) for manager in others for path in sorted(manager.paths & contested, key=_rank)
    ]
    if conflicts and not force:
        raise _conflict(conflicts)
    gone = contested | (before.keys() - after.keys())
    others = [replace(manager, paths=manager.paths - gone) for manager in others]
    owned = frozenset(wanted)
    author = replace(author, paths=owned, time=last_time if owned == last else author.time)
    return Applied(merged, [*others, author])


def _rank(path: Path) -> list[tuple[bool, str]]:
    """What ends at a level comes before what goes deeper."""
    return [*((True, element) for element in path[:-1]), (False, path[-1])]


def _before_first_apply(live: KubeObject, schema: Schema, author: Manager) -> list[Manager]:
    """An object that nobody tracked belongs to those who wrote it before."""
    if not live.get("spec") and not live["metadata"].get("uid"):
        return []
    paths = created_fields(live, schema, author.subresource)
    return [Manager("before-first-apply", "Update", author.api_version, author.subresource, "", paths)]


def readable(path: Path) -> str:
    """A path as people read it: `.spec.containers[name="c"].image`."""
    text = ""
    for element in path:
        kind, rest = element[:2], element[2:]
        if kind == "f:":
            text += f".{rest}"
        elif kind == "k:":
            keys = (f"{key}={orjson.dumps(value).decode()}" for key, value in orjson.loads(rest).items())
            text += f"[{','.join(keys)}]"
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
        if len(conflicts) == 1:
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
    merged = have | {
        key: _merge(have[key], item, inner) if key in have else item for key, item in want.items()
    }
    return [merged[key] for key in _woven([*have], [*want])]


def _woven(have: list[str], want: list[str]) -> list[str]:
    """The order of a merged list: the intent's, with what only the live one has where it stands there."""
    kept, wanted, done = set(have), set(want), set[str]()
    shared = [key for key in want if key in kept]
    order: list[str] = []
    left = right = 0
    while left < len(have) or right < len(want):
        mine = have[left] if left < len(have) else None
        both = mine is not None and right < len(want)
        upcoming = next((key for key in shared if key not in done), None)
        if mine in wanted and (mine in done or (both and mine != want[right] and mine != upcoming)):
            left += 1  # its turn is over, or comes when the intent says
        elif mine is not None and mine not in wanted:
            order.append(mine)
            left += 1
        elif right < len(want):
            order.append(want[right])
            done.add(want[right])
            right += 1
        else:
            left += 1
    return order


def _with_parents(paths: Iterable[Path]) -> set[Path]:
    """Paths and the fields above them. An item of a list is there only when it is owned itself."""
    return {
        path[:length]
        for path in paths
        for length in range(1, len(path) + 1)
        if length == len(path) or path[length - 1].startswith("f:")
    }


def _prune(
    merged: KubeObject, schema: Schema, last: frozenset[Path], wanted: frozenset[Path], kept: frozenset[Path]
) -> None:
    """Remove what the manager owned, no longer declares, and nobody else owns; in place."""
    held = _with_parents(kept) | {_METADATA}
    dropped: list[Path] = []
    for path in sorted(_with_parents(last) - _with_parents(wanted), key=len):
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
