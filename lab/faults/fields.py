"""Single fields of a Kubernetes object: read, set, removed, and put back to what they were.

A path is a tuple of keys; a key of the form `name=api` is the element of a list that has this name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from lab.kube.objects import KubeObject

Path = tuple[str, ...]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""The value of a field that is not there."""

_BY_NAME = "name="


@dataclass(frozen=True, slots=True)
class Change:
    """What a fault makes of a field. damage: whether the fault is over once somebody has changed it again."""

    path: Path
    value: Any
    damage: bool = True


@dataclass(frozen=True, slots=True)
class Field:
    """A field that a fault changes: what was there before, and what is there while it bites."""

    path: Path
    before: Any
    after: Any
    damage: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The wire form; a value that is absent is left out."""
        wire: dict[str, Any] = {"path": list(self.path), "damage": self.damage}
        values = {"before": self.before, "after": self.after}
        return wire | {key: value for key, value in values.items() if value is not ABSENT}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Field:
        """Read the wire form."""
        before, after = data.get("before", ABSENT), data.get("after", ABSENT)
        return cls(tuple(data["path"]), before, after, bool(data["damage"]))


@dataclass(frozen=True, slots=True)
class BeforeImage:
    """Which object it was, and the fields that a fault changes in it."""

    uid: str
    fields: tuple[Field, ...]

    @classmethod
    def take(cls, obj: KubeObject, changes: Sequence[Change]) -> BeforeImage:
        """Look at the object before it is changed."""
        fields = (Field(c.path, read(obj, c.path), c.value, c.damage) for c in changes)
        return cls(str(obj["metadata"]["uid"]), tuple(fields))

    def of(self, obj: KubeObject) -> bool:
        """Whether this is the object, and not another of its name."""
        return bool(obj["metadata"]["uid"] == self.uid)

    def changed_by_others(self, obj: KubeObject) -> list[Path]:
        """Fields that are not as they were before; the fault has not been applied yet."""
        return [field.path for field in self.fields if read(obj, field.path) != field.before]

    def bites(self, obj: KubeObject) -> bool:
        """Whether any of the damage is still there."""
        return any(read(obj, f.path) == f.after for f in self.fields if f.damage)

    def apply(self, obj: KubeObject) -> None:
        """Set every field."""
        for field in self.fields:
            write(obj, field.path, field.after)

    def restore(self, obj: KubeObject) -> list[Path]:
        """Put back every field that is still as the fault left it; the paths of the others."""
        left: list[Path] = []
        for field in self.fields:
            if read(obj, field.path) == field.after:
                write(obj, field.path, field.before)
            elif read(obj, field.path) != field.before:
                left.append(field.path)
        return left

    def as_dict(self) -> dict[str, Any]:
        """The wire form, kept in the journal."""
        return {"uid": self.uid, "fields": [field.as_dict() for field in self.fields]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BeforeImage:
        """Read the wire form."""
        return cls(str(data["uid"]), tuple(Field.from_dict(raw) for raw in data["fields"]))


def read(obj: Any, path: Path) -> Any:
    """The value at a path, or ABSENT."""
    for key in path:
        if key.startswith(_BY_NAME):
            place = _place(obj, key)
            if place is None:
                return ABSENT
            obj = obj[place]
        elif isinstance(obj, dict) and key in obj:
            obj = obj[key]
        else:
            return ABSENT
    return obj


def write(obj: Any, path: Path, value: Any) -> None:
    """Set the value at a path, or remove it when ABSENT; what becomes empty by that goes as well."""
    if value is ABSENT:
        _remove(obj, path)
        return
    for key, following in pairwise(path):
        obj = _step(obj, key, [] if following.startswith(_BY_NAME) else {})
    _set(obj, path[-1], value)


def _step(obj: Any, key: str, empty: Any) -> Any:
    if key.startswith(_BY_NAME):
        if _place(obj, key) is None:
            obj.append({"name": key.removeprefix(_BY_NAME)})
        return obj[_place(obj, key)]
    return obj.setdefault(key, empty)


def _set(obj: Any, key: str, value: Any) -> None:
    if not key.startswith(_BY_NAME):
        obj[key] = value
        return
    place = _place(obj, key)
    if place is None:
        obj.append(value)
    else:
        obj[place] = value


def _remove(obj: Any, path: Path) -> None:
    if read(obj, path) is ABSENT:
        return
    parent, key = read(obj, path[:-1]), path[-1]
    del parent[_place(parent, key) if key.startswith(_BY_NAME) else key]
    if not parent and len(path) > 1:
        _remove(obj, path[:-1])


def _place(items: Any, key: str) -> int | None:
    if not isinstance(items, list):
        return None
    wanted = key.removeprefix(_BY_NAME)
    return next((n for n, item in enumerate(items) if item.get("name") == wanted), None)
