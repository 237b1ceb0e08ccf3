"""JSON patch and JSON merge patch; `strategic` has the third kind.

Each function returns a new document and leaves its arguments alone. Sources: RFC 6902, RFC 7386, and where
the API server's library (github.com/evanphx/json-patch, version 4) takes them in its own way, that library.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import orjson

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
MAX_JSON_PATCH_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""JSON that the copies of one patch may add: a few of them, each doubling, would fill any memory."""

_INDEX = re.compile(r"[+-]?[0-9]{1,18}")
_ESCAPES = {"~0": "~", "~1": "/"}
_Container = dict[str, Any] | list[Any]


class PatchError(ValueError):
    """A patch that does not fit its document: a failed test, a missing path, a missing merge key."""


class MalformedPatchError(PatchError):
    """Something that is not a patch of the declared type at all."""


class LongPatchError(PatchError):
    """A JSON patch of too many operations."""


def json_patch(document: Any, operations: Any) -> Any:
    """Apply an RFC 6902 patch. As in the API server a replacement may add, and indices may be negative.

    Raises MalformedPatchError for what is not a list of operations, LongPatchError when there are too many,
    PatchError when one does not apply.
    """
    if not isinstance(operations, list) or not all(isinstance(op, dict) for op in operations):
        raise MalformedPatchError("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > MAX_JSON_PATCH_OPERATIONS:
        raise LongPatchError(
            f"The allowed maximum operations in a JSON patch is {MAX_JSON_PATCH_OPERATIONS}, "
            f"got {len(operations)}"
        )
    result, copied = copy.deepcopy(document), 0
    for operation in operations:
        kind = operation.get("op")
        if kind == "copy":
            value = _get(*_locate(result, operation, "from"))
            copied += len(orjson.dumps(value))
            if copied > MAX_COPIED_BYTES:
                raise PatchError(
                    f"Unable to complete the copy, the accumulated size increase of copy is {copied}, "
                    f"exceeding the limit {MAX_COPIED_BYTES}"
                )
            _add(*_locate(result, operation), copy.deepcopy(value))
        else:
            result = _operate(result, kind, operation)
    return result


def _operate(document: Any, kind: Any, operation: dict[str, Any]) -> Any:
    value = copy.deepcopy(operation.get("value"))
    if kind == "add":
        _add(*_locate(document, operation), value)
    elif kind == "remove":
        _remove(*_locate(document, operation))
    elif kind == "replace":
        if operation.get("path") == "":
            if not isinstance(value, (dict, list)):
                raise PatchError("replace operation value must be object or array")
            return value
        container, key = _locate(document, operation)
        _get(container, key)
        _set(container, key, value)
    elif kind == "move":
        container, key = _locate(document, operation, "from")
        moved = _get(container, key)
        _remove(container, key)
        _add(*_locate(document, operation), moved)
    elif kind == "test":
        whole = operation.get("path") == ""
        found = document if whole else _get(*_locate(document, operation))
        if not _equal(found, value):
            raise PatchError(f"testing value {operation.get('path')} failed: test failed")
    else:
        raise PatchError(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")
    return document


def _locate(document: Any, operation: dict[str, Any], field: str = "path") -> tuple[_Container, str]:
    """The map or list that a path of an operation leads into, and the last part of the path."""
    path = operation.get(field)
    if not isinstance(path, str):
        raise PatchError(f"{operation.get('op')} operation failed to decode {field}: missing value")
    _, *parts = (re.sub("~[01]", lambda found: _ESCAPES[found.group()], part) for part in path.split("/"))
    target = document
    for part in parts[:-1]:
        target = _get(target, part) if isinstance(target, (dict, list)) else None
    if not parts or not isinstance(target, (dict, list)):
        raise PatchError(
            f'{operation.get("op")} operation does not apply: doc is missing {field}: "{path}": missing value'
        )
    return target, parts[-1]


def _index(items: list[Any], key: str, end: int) -> int:
    """The position that a part of a path means; negative ones count from the end."""
    if not _INDEX.fullmatch(key):
        raise PatchError(f"value was not a proper array index: '{key}'")
    number = int(key)
    if not -end <= number < end:
        raise PatchError(f"Unable to access invalid index: {number}")
    return number + end if number < 0 else number


def _get(container: _Container, key: str) -> Any:
    """What is there; None for a missing member of a map."""
    if isinstance(container, dict):
        return container.get(key)
    return container[_index(container, key, len(container))]


def _set(container: _Container, key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    else:
        container[_index(container, key, len(container))] = value


def _add(container: _Container, key: str, value: Any) -> None:
    if isinstance(container, dict):
        container[key] = value
    elif key == "-":
        container.append(value)
    else:
        container.insert(_index(container, key, len(container) + 1), value)


def _remove(container: _Container, key: str) -> None:
    if isinstance(container, list):
        del container[_index(container, key, len(container))]
    elif key in container:
        del container[key]
    else:
        raise PatchError(f"Unable to remove nonexistent key: {key}: missing value")


def _equal(left: Any, right: Any) -> bool:
    """Equality of JSON: 1, 1.0 and true are three values."""
    return orjson.dumps(left, option=orjson.OPT_SORT_KEYS) == orjson.dumps(right, option=orjson.OPT_SORT_KEYS)


def merge_patch(document: Any, patch: Any) -> Any:
    """Apply an RFC 7386 patch: null deletes a member, maps merge, everything else replaces.

    As in the API server, maps inside of new lists lose their nulls, too.
    """
    if not isinstance(patch, dict):
        return copy.deepcopy(patch) if isinstance(document, dict) else _without_nulls(patch)
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
