"""The patches of the Kubernetes API: JSON patch, JSON merge patch and strategic merge patch.

Each function returns a new document and leaves its arguments alone. Sources: RFC 6902, RFC 7386 and
k8s.io/apimachinery/pkg/util/strategicpatch/patch.go.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
import jsonpointer

from lab.kube.schema import Schema, resolve

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
MAX_JSON_PATCH_OPERATIONS = 10_000

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


class PatchError(ValueError):
    """A patch that does not fit its document: a failed test, a missing path, a missing merge key."""


class MalformedPatchError(PatchError):
    """Something that is not a patch of the declared type at all."""


def json_patch(document: Any, operations: Any) -> Any:
    """Apply an RFC 6902 patch.

    Raises MalformedPatchError for what is not a list of operations, PatchError when one does not apply.
    """
    if not isinstance(operations, list) or not all(isinstance(op, dict) for op in operations):
        raise MalformedPatchError("error decoding patch: a JSON patch is a list of operations")
    if len(operations) > MAX_JSON_PATCH_OPERATIONS:
        raise MalformedPatchError(
            f"The allowed maximum operations in a JSON patch is {MAX_JSON_PATCH_OPERATIONS}, "
            f"got {len(operations)}"
        )
    try:
        return jsonpatch.JsonPatch(operations).apply(document, in_place=False)
    except (jsonpatch.InvalidJsonPatch, jsonpatch.JsonPatchConflict, jsonpatch.JsonPatchTestFailed) as error:
        raise PatchError(str(error)) from error
    except (jsonpointer.JsonPointerException, TypeError, KeyError, IndexError, AttributeError) as error:
        raise PatchError(str(error)) from error


def merge_patch(document: Any, patch: Any) -> Any:
    """Apply an RFC 7386 patch: null deletes a member, maps merge, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_merge_patch(document: Any, patch: Any, schema: Schema | None) -> Any:
    """Apply a strategic merge patch, lists merged as the schema's merge keys and strategies say.

    Raises MalformedPatchError when the patch is not a map, PatchError when it does not apply.
    """
    if not isinstance(patch, dict) or not isinstance(document, dict):
        raise MalformedPatchError("error decoding patch: a strategic merge patch is a map")
    return _merge_map(document, patch, schema)


def _property(schema: Schema | None, key: str) -> tuple[Schema | None, Sequence[str], str]:
    """A member's schema, its patch strategies and its merge key."""
    if schema is None:
        return None, (), ""
    schema = resolve(schema)
    prop = schema.get("properties", {}).get(key)
    if prop is None:
        extra = schema.get("additionalProperties")
        return (extra if isinstance(extra, dict) else None), (), ""
    strategies = prop.get("x-kubernetes-patch-strategy", "").split(",")
    return prop, strategies, prop.get("x-kubernetes-patch-merge-key", "")


def _items(schema: Schema | None) -> Schema | None:
    found = resolve(schema).get("items") if schema else None
    return found if isinstance(found, dict) else None


def _drop_directives(value: Any) -> Any:
    """A patch value that meets nothing: taken as it is, without directives and nulls."""
    if isinstance(value, dict):
        return {
            key: _drop_directives(member)
            for key, member in value.items()
            if member is not None
            and key not in (_DIRECTIVE, _RETAIN)
            and not key.startswith((_DELETE_PRIMITIVES, _ORDER))
        }
    if isinstance(value, list):
        return [
            _drop_directives(item)
            for item in value
            if not (isinstance(item, dict) and item.get(_DIRECTIVE) == "delete")
        ]
    return value


def _merge_map(original: Mapping[str, Any], patch: Mapping[str, Any], schema: Schema | None) -> Any:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return _drop_directives(patch)
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f"unknown patch type {directive!r}")
    result = dict(original)
    retained = patch.get(_RETAIN)
    if retained is not None:
        if any(key not in retained for key, value in patch.items() if not key.startswith("$") and value):
            raise PatchError("retainKeys do not contain every field of the patch")
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        if key.startswith(_DELETE_PRIMITIVES):
            target = key.removeprefix(_DELETE_PRIMITIVES)
            if isinstance(result.get(target), list):
                result[target] = [item for item in result[target] if item not in value]
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_member(result, key, value, schema)
    for key, order in patch.items():
        if key.startswith(_ORDER):
            target = key.removeprefix(_ORDER)
            merge_key = _property(schema, target)[2]
            _check_order(patch.get(target), order, merge_key)
            if isinstance(result.get(target), list):
                result[target] = _reorder(result[target], order, original.get(target) or [], merge_key)
    return result


def _merge_member(result: dict[str, Any], key: str, value: Any, schema: Schema | None) -> None:
    if value is None:
        result.pop(key, None)
        return
    prop, strategies, merge_key = _property(schema, key)
    present = result.get(key)
    if isinstance(value, dict) and isinstance(present, dict) and "replace" not in strategies:
        result[key] = _merge_map(present, value, prop)
    elif isinstance(value, list) and "merge" in strategies and isinstance(present, list):
        result[key] = _merge_list(present, value, prop, merge_key)
    elif isinstance(value, list) and "merge" in strategies:
        result[key] = _merge_list([], value, prop, merge_key)
    else:
        result[key] = _drop_directives(value)


def _merge_list(original: list[Any], patch: list[Any], prop: Schema | None, merge_key: str) -> list[Any]:
    if not merge_key:
        return [*original, *(v for i, v in enumerate(patch) if v not in original and v not in patch[:i])]
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in patch):
        return [_drop_directives(item) for item in patch if item.get(_DIRECTIVE) != "replace"]
    result = list(original)
    for item in patch:
        if not isinstance(item, dict) or merge_key not in item:
            raise PatchError(f"map: {item} does not contain declared merge key: {merge_key}")
        at = _find(result, item[merge_key], merge_key)
        if item.get(_DIRECTIVE) == "delete":
            result = [have for have in result if _key_of(have, merge_key) != item[merge_key]]
        elif at is None:
            result.append(_drop_directives(item))
        else:
            merged = _merge_map(result[at], item, _items(prop))
            result[at] = merged
    return result


def _key_of(item: Any, merge_key: str) -> Any:
    if not merge_key:
        return item
    return item.get(merge_key) if isinstance(item, dict) else None


def _find(items: Sequence[Any], value: Any, merge_key: str) -> int | None:
    return next((i for i, item in enumerate(items) if _key_of(item, merge_key) == value), None)


def _check_order(patch: Any, order: Any, merge_key: str) -> None:
    if not isinstance(order, list):
        raise PatchError("$setElementOrder must be a list")
    wanted = [_key_of(item, merge_key) for item in order]
    for item in patch or ():
        deleted = isinstance(item, dict) and item.get(_DIRECTIVE) in ("delete", "replace")
        if not deleted and _key_of(item, merge_key) not in wanted:
            raise PatchError("The order in patch list doesn't match $setElementOrder list")


def _reorder(items: list[Any], order: list[Any], server: list[Any], merge_key: str) -> list[Any]:
    """The elements that the patch orders in its order, the others where the server had them."""
    wanted = [_key_of(item, merge_key) for item in order]
    known = [_key_of(item, merge_key) for item in server]
    mine = [item for item in items if _key_of(item, merge_key) in wanted]
    mine.sort(key=lambda item: wanted.index(_key_of(item, merge_key)))
    others = [item for item in items if _key_of(item, merge_key) not in wanted]
    others.sort(key=lambda item: known.index(_key_of(item, merge_key)))
    result: list[Any] = []
    while mine and others:
        left, right = _key_of(mine[0], merge_key), _key_of(others[0], merge_key)
        first = left in known and right in known and known.index(left) < known.index(right)
        result.append(mine.pop(0) if first else others.pop(0))
    return result + mine + others
