"""Images of objects for the audit record: what was there, and what a request makes of it. All bounded."""

from __future__ import annotations

from typing import Any

import orjson

from lab.kube.objects import KubeObject, name_of, namespace_of

Operation = dict[str, Any]
MAX_IMAGE_BYTES = 64 * 1024
MAX_DIFF_BYTES = 32 * 1024
MAX_OPERATIONS = 100
MAX_DEPTH = 60
_SAME_DEPTH = 4
MAX_NAMES = 200
_NOISE = ("managedFields", "resourceVersion")
_MASK = "(masked)"


def bare(obj: KubeObject) -> KubeObject:
    """A copy without server bookkeeping, and without the values of a Secret."""
    copy = dict(obj)
    metadata = copy.get("metadata")
    if isinstance(metadata, dict):
        copy["metadata"] = {key: value for key, value in metadata.items() if key not in _NOISE}
    if copy.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if isinstance(copy.get(key), dict):
                copy[key] = dict.fromkeys(copy[key], _MASK)
    return copy


def image(obj: KubeObject) -> KubeObject:
    """The object as it goes into the record: whole when small enough, else only its identity."""
    copy = bare(obj)
    if isinstance(obj.get("metadata"), dict) and "resourceVersion" in obj["metadata"]:
        copy["metadata"]["resourceVersion"] = obj["metadata"]["resourceVersion"]
    if len(orjson.dumps(copy)) <= MAX_IMAGE_BYTES:
        return copy
    uid = (obj.get("metadata") or {}).get("uid")
    identity = {"name": name_of(obj), "namespace": namespace_of(obj), "uid": uid}
    return {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "metadata": identity,
        "cut": f"larger than {MAX_IMAGE_BYTES} bytes",
    }


def names(listed: KubeObject) -> KubeObject:
    """What a collection held: its kind and the names, up to MAX_NAMES."""
    return {
        "apiVersion": listed.get("apiVersion"),
        "kind": listed.get("kind"),
        "names": [name_of(item) for item in (listed.get("items") or ())[:MAX_NAMES]],
    }


def removals(listed: KubeObject | None) -> tuple[Operation, ...]:
    """One `remove` per object of a collection; the path is its name."""
    items = (listed or {}).get("items") or ()
    return tuple({"op": "remove", "path": f"/{_escape(name_of(item))}"} for item in items[:MAX_NAMES])


def json_patch(before: KubeObject | None, after: KubeObject | None) -> tuple[Operation, ...]:
    """JSON Patch operations (RFC 6902) from `before` to `after`; None is "no such object".

    Lists of the same length are compared element by element, others are replaced. When the operations are
    too many or too large the rest is left out, and a last `test` operation that never holds says so.
    """
    if after is None:
        return ({"op": "remove", "path": ""},) if before is not None else ()
    if before is None:
        return _bounded([{"op": "add", "path": "", "value": bare(after)}])
    return _bounded(changes(before, after))


def changes(before: KubeObject, after: KubeObject) -> list[Operation]:
    """All operations from `before` to `after`, however many."""
    operations: list[Operation] = []
    _compare(bare(before), bare(after), "", operations, 0)
    return operations


def _compare(old: Any, new: Any, path: str, out: list[Operation], depth: int) -> None:
    if depth < _SAME_DEPTH and orjson.dumps(old) == orjson.dumps(new):
        return  # most of an object does not change; further down this would cost more than it saves
    if isinstance(old, dict) and isinstance(new, dict) and depth < MAX_DEPTH:
        for key in sorted(old.keys() - new.keys()):
            out.append({"op": "remove", "path": f"{path}/{_escape(key)}"})
        for key in sorted(new.keys()):
            here = f"{path}/{_escape(key)}"
            if key in old:
                _compare(old[key], new[key], here, out, depth + 1)
            else:
                out.append({"op": "add", "path": here, "value": new[key]})
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and depth < MAX_DEPTH:
        for index, (left, right) in enumerate(zip(old, new, strict=True)):
            _compare(left, right, f"{path}/{index}", out, depth + 1)
    elif orjson.dumps(old) != orjson.dumps(new):  # as JSON: Python holds false and 0 for equal
        out.append({"op": "replace", "path": path, "value": new})


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _bounded(operations: list[Operation]) -> tuple[Operation, ...]:
    kept: list[Operation] = []
    size = 0
    for operation in operations:
        size += len(orjson.dumps(operation))
        if size > MAX_DIFF_BYTES or len(kept) >= MAX_OPERATIONS:
            left = len(operations) - len(kept)
            kept.append({"op": "test", "path": "", "value": f"cut: {left} more operations"})
            break
        kept.append(operation)
    return tuple(kept)
