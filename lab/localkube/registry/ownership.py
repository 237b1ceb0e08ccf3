"""Field ownership: which manager set which field, as `metadata.managedFields` records it.

Source: sigs.k8s.io/structured-merge-diff and k8s.io/apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.schema import Schema
from lab.localkube.registry.leaves import MEMBER, Path, leaves

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
_EMPTY: KubeObject = {"metadata": {}}


def fields_of(
    obj: KubeObject, schema: Schema, subresource: str, *, containers: bool = False
) -> dict[Path, Any]:
    """The paths of an object that managers may own, written through the main resource or `/status`.

    containers: with the maps and lists between, as who updates owns them and who applies does not.
    """
    owned = {}
    for path, value in leaves(obj, schema, containers=containers).items():
        if path[0] in ("f:apiVersion", "f:kind") or (path[0] == "f:metadata" and path[1:2] == ()):
            continue
        if path[0] == "f:metadata" and path[1] in _SERVER_FIELDS:
            continue
        if (path[0] == "f:status") != (subresource == "status") and path[0] in ("f:status", "f:spec"):
            continue
        owned[path] = value
    return owned


def created_fields(
    obj: KubeObject, schema: Schema, subresource: str, blank: KubeObject = _EMPTY
) -> frozenset[Path]:
    """What the writer of a new object owns, unless it is an apply. blank: what its kind has anyway."""
    nothing = fields_of(blank, schema, subresource, containers=True)
    given = fields_of(obj, schema, subresource, containers=True)
    return frozenset(
        path
        for path, value in given.items()
        if path not in nothing or (nothing[path] != value and (value is not MEMBER or nothing[path] is False))
    )


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
        """Is it the same manager, whatever it owns? One that applies stays the same in every version."""
        mine = (self.name, self.operation, self.subresource)
        applies = self.operation == "Apply"
        return mine == (other.name, other.operation, other.subresource) and (
            applies or self.api_version == other.api_version
        )

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
            "fieldsV1": _trie(frozenset(manager.paths)),
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


@functools.lru_cache(maxsize=256)
def _trie(paths: frozenset[Path]) -> KubeObject:
    """The paths as FieldsV1, shared by all objects that were written alike: more than half of each."""
    root: KubeObject = {}
    members: list[KubeObject] = []
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        members.append(node)
    for node in members:
        if node:
            below = dict(node)
            node.clear()
            node["."] = {}
            node.update(below)
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
    old, new = _unlike(old, new)
    before = fields_of(old, schema, author.subresource, containers=True)
    after = fields_of(new, schema, author.subresource, containers=True)
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


def _unlike(old: KubeObject, new: KubeObject) -> tuple[KubeObject, KubeObject]:
    """Both without what is alike in them, but for one member of each map: none becomes empty by it."""
    alike = [key for key, value in new.items() if key in old and old[key] == value]
    before, after = dict(old), dict(new)
    for key in alike[1:]:
        del before[key], after[key]
    for key in before.keys() & after.keys() - set(alike):
        if isinstance(before[key], dict) and isinstance(after[key], dict):
            before[key], after[key] = _unlike(before[key], after[key])
    return before, after
