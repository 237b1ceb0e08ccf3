"""Taking one change back out of an object, field by field, without touching what others changed since.

    before ──the automation's change──► after          now: what is there today

A field that is now as the automation left it becomes what it was before. One that is already as before needs
nothing. One that is neither was changed by somebody else since: a conflict, and it stays.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from lab.kube.objects import KubeObject

REVISION = "deployment.kubernetes.io/revision"
_KEPT_METADATA = ("labels", "annotations", "ownerReferences", "finalizers")


class Missing:
    """Stands for a field that is not there; null is a value."""

    def __repr__(self) -> str:
        return "nothing"


MISSING = Missing()


@dataclass(slots=True)
class Merge:
    """The object with the change taken out. restored, conflicts: JSON pointers of fields."""

    value: Any = MISSING
    restored: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def take_back(now: Any, before: Any, after: Any) -> Merge:
    """Undo `before` → `after` in `now`. Fields that are in neither of the two are left as they are."""
    merge = Merge()
    merge.value = _take_back(copy.deepcopy(now), before, after, "", merge)
    return merge


def follow(base: Any, old: Any, new: Any) -> Any:
    """`base` with what changed from `old` to `new`, whatever it holds itself."""
    if same(old, new):
        return base
    if not all(isinstance(value, dict) for value in (base, old, new)):
        return copy.deepcopy(new) if not isinstance(new, Missing) else new
    result = dict(base)
    for key in {**old, **new}:
        value = follow(base.get(key, MISSING), old.get(key, MISSING), new.get(key, MISSING))
        if isinstance(value, Missing):
            result.pop(key, None)
        else:
            result[key] = value
    return result


def overlay(under: Any, over: Any) -> Any:
    """`under` with the fields of `over`; maps are joined."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return copy.deepcopy(over)
    return {**under, **{key: overlay(under.get(key), value) for key, value in over.items()}}


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: the order of keys does not count, but false is not 0."""
    if isinstance(left, Missing) or isinstance(right, Missing):
        return left is right
    return orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(right, option=orjson.OPT_SORT_KEYS)


def wanted(obj: KubeObject) -> KubeObject:
    """What somebody wants of an object: no status, and nothing that servers and controllers write."""
    kept = {key: value for key, value in obj.items() if key not in ("status", "metadata")}
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key in _KEPT_METADATA}
    if isinstance(metadata.get("annotations"), dict):
        annotations = {key: value for key, value in metadata["annotations"].items() if key != REVISION}
        metadata["annotations"] = annotations
    return kept | {"metadata": {key: value for key, value in metadata.items() if value}}


def apply_diff(before: Any, operations: Sequence[dict[str, Any]]) -> Any:
    """The object after the operations of an audit record. Raises ValueError when they do not fit it."""
    value = copy.deepcopy(before)
    for operation in operations:
        try:
            value = _apply(value, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"the operation at {operation.get('path')!r} does not fit the image") from error
    return value


def _apply(value: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation["op"], operation["path"]
    if kind not in ("add", "remove", "replace"):
        raise ValueError(kind)
    if not path:
        return MISSING if kind == "remove" else copy.deepcopy(operation["value"])
    keys = [key.replace("~1", "/").replace("~0", "~") for key in path.split("/")[1:]]
    parent = value
    for key in keys[:-1]:
        parent = parent[int(key)] if isinstance(parent, list) else parent[key]
    last: Any = int(keys[-1]) if isinstance(parent, list) else keys[-1]
    if kind == "remove":
        del parent[last]
    else:
        parent[last] = copy.deepcopy(operation["value"])
    return value


def _take_back(now: Any, before: Any, after: Any, path: str, merge: Merge) -> Any:
    if same(before, after):
        return now
    if isinstance(now, dict) and isinstance(before, dict) and isinstance(after, dict):
        return _map(now, before, after, path, merge)
    if _same_places(now, before, after):
        return [
            _take_back(*three, f"{path}/{place}", merge)
            for place, three in enumerate(zip(now, before, after, strict=True))
        ]
    if same(now, after):
        merge.restored.append(path or "/")
        return before if isinstance(before, Missing) else copy.deepcopy(before)
    if same(now, before):
        return now
    if isinstance(now, dict) and _maps(before, after):
        return _map(now, before, after, path, merge)
    merge.conflicts.append(path or "/")
    return now


def _maps(before: Any, after: Any) -> bool:
    """Whether both are maps, or one is and the other is not there."""
    kinds = {dict if isinstance(value, dict) else type(value) for value in (before, after)}
    return dict in kinds and kinds <= {dict, Missing}


def _map(now: dict[str, Any], before: Any, after: Any, path: str, merge: Merge) -> Any:
    old: dict[str, Any] = before if isinstance(before, dict) else {}
    new: dict[str, Any] = after if isinstance(after, dict) else {}
    result, given_back = dict(now), len(merge.restored)
    for key in [*old, *(key for key in new if key not in old)]:
        here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        three = (now.get(key, MISSING), old.get(key, MISSING), new.get(key, MISSING))
        value = _take_back(*three, here, merge)
        if isinstance(value, Missing):
            result.pop(key, None)
        else:
            result[key] = value
    emptied = not result and len(merge.restored) > given_back
    return MISSING if emptied and isinstance(before, Missing) else result


def _same_places(*lists: Any) -> bool:
    """Whether the lists have the same elements in the same places: as many, with the same names."""
    if not all(isinstance(value, list) for value in lists) or len({len(value) for value in lists}) != 1:
        return False
    return all(len({_name(element) for element in place}) == 1 for place in zip(*lists, strict=True))


def _name(element: Any) -> str:
    return str(element.get("name", "")) if isinstance(element, dict) else ""
