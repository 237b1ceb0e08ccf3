"""Strategic merge patch: a merge patch whose lists merge by key, as the schema of a kind says.

Source: k8s.io/apimachinery/pkg/util/strategicpatch/patch.go, whose outcome this has, order of lists included:
what a patch names stands in the order of the patch, everything else where the server had it, and where
nothing says which of the two comes first, the patch does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from lab.kube.merged_lists import arrange, each_once, element_type, identity, key_of
from lab.kube.patch import MalformedPatchError, PatchError
from lab.kube.schema import Schema, resolve

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_DELETE_PRIMITIVES = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"
_NO_DIRECTIVE = object()


def strategic_merge_patch(document: Any, patch: Any, schema: Schema | None) -> Any:
    """Apply a strategic merge patch, lists merged as the schema's merge keys and strategies say.

    Returns a new document and leaves its arguments alone. Without a schema every list is replaced.
    Raises MalformedPatchError when the patch is not a map, PatchError when it does not apply.
    """
    if not isinstance(patch, dict) or not isinstance(document, dict):
        raise MalformedPatchError("error decoding patch: a strategic merge patch is a map")
    return _clean(_merge_map(document, copy.deepcopy(patch), schema))


def _clean(value: Any) -> Any:
    """Without the nulls and directives that met nothing: no type of Kubernetes holds them."""
    if isinstance(value, dict):
        return {
            key: _clean(member)
            for key, member in value.items()
            if member is not None and key != _RETAIN and not key.startswith((_DELETE_PRIMITIVES, _ORDER))
        }
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _merge_map(original: Mapping[str, Any], patch: dict[str, Any], schema: Schema | None) -> dict[str, Any]:
    directive = patch.pop(_DIRECTIVE, _NO_DIRECTIVE)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    if directive is not _NO_DIRECTIVE:
        raise PatchError(f"unknown patch type: {directive} in map: {patch}")
    result = _retained(original, patch)
    for key in [key for key in patch if key.startswith(_ORDER)]:
        _merge_ordered(result, patch, key, schema)
    deletions = [key for key in patch if key.startswith(_DELETE_PRIMITIVES)]
    for key in [*deletions, *(key for key in patch if key not in deletions)]:
        target = key.removeprefix(_DELETE_PRIMITIVES)
        _merge_member(result, target, patch[key], schema, deletes=target != key)
    return result


def _retained(original: Mapping[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A copy of the original, of a union only the members that the patch retains."""
    if _RETAIN not in patch:
        return dict(original)
    retained = patch.pop(_RETAIN)
    if not isinstance(retained, list):
        raise MalformedPatchError("invalid patch format of retainKeys")
    for key, value in patch.items():
        if value is not None and not key.startswith((_DELETE_PRIMITIVES, _ORDER)) and key not in retained:
            raise MalformedPatchError("invalid patch format of retainKeys")
    return {key: value for key, value in original.items() if key in retained}


def _merge_member(
    result: dict[str, Any], key: str, value: Any, schema: Schema | None, *, deletes: bool
) -> None:
    if value is None:
        result.pop(key, None)
        return
    present = result.get(key)
    if present is None or type(present) is not type(value):
        if not deletes:
            _take(result, key, value)
    elif isinstance(value, dict):
        prop, strategies, _ = _property(schema, key)
        result[key] = value if "replace" in strategies else _merge_map(present, value, prop)
    elif isinstance(value, list):
        prop, strategies, merge_key = _property(schema, key)
        if "merge" in strategies or deletes:
            result[key] = _merge_list(present, value, prop, merge_key, deletes=deletes)
        else:
            result[key] = value
    elif not deletes:
        result[key] = value


def _take(result: dict[str, Any], key: str, value: Any) -> None:
    """A patch value that meets nothing is taken as it is; one that is a directive leaves nothing."""
    if _kept(value):
        result[key] = _without_directives(value)
    else:
        result.pop(key, None)


def _without_directives(value: Any) -> Any:
    """A value without the maps in it that carry a directive."""
    if isinstance(value, dict):
        return {key: _without_directives(member) for key, member in value.items() if _kept(member)}
    return [_without_directives(item) for item in value if _kept(item)] if isinstance(value, list) else value


def _kept(value: Any) -> bool:
    return not (isinstance(value, dict) and _DIRECTIVE in value)


def _merge_ordered(
    result: dict[str, Any], patch: dict[str, Any], directive: str, schema: Schema | None
) -> None:
    """Merge the list that a $setElementOrder directive is about, and bring it into that order; in place."""
    order, key = patch.pop(directive), directive.removeprefix(_ORDER)
    present, change = result.get(key), patch.get(key)
    for value, there in ((order, True), (present, key in result), (change, key in patch)):
        if there and not isinstance(value, list):
            raise PatchError(f"expected a list, but received a {type(value).__name__}: {directive}")
    prop, strategies, merge_key = _property(schema, key)
    _check_order(change or [], order, merge_key)
    if present is None and change is None:
        return
    if change is None:
        merged = present or []
    elif present is None:
        merged = _without_directives(change)
    elif "merge" in strategies:
        merged = _merge_list(present, change, prop, merge_key)
    else:
        merged = change
    if element_type(present or [], change or []) is dict and order and not merge_key:
        raise PatchError("cannot merge lists without merge key")
    result[key] = arrange(
        merged, order, _server_order(present or [], change or [], merged, merge_key), merge_key
    )
    patch.pop(key, None)


def _server_order(present: list[Any], change: list[Any], merged: list[Any], merge_key: str) -> list[Any]:
    """Where the server had what; upstream puts what is new into the room that deleted items leave."""
    doomed = [item for item in change if isinstance(item, dict) and item.get(_DIRECTIVE) == "delete"]
    if not doomed or not present:
        return present
    gone = {identity(item, merge_key) for item in doomed}
    kept = [item for item in present if identity(item, merge_key) not in gone]
    had = {identity(item, merge_key) for item in kept}
    new = [item for item in merged if identity(item, merge_key) not in had]
    return [*kept, *new][: len(present)]


def _check_order(change: list[Any], order: list[Any], merge_key: str) -> None:
    """Does the patch name what it changes in the order that it asks for?"""
    if not order or not change:
        return
    named = [identity(item, merge_key) for item in order]
    if merge_key:
        change = [item for item in change if not isinstance(item, dict) or item.get(_DIRECTIVE) != "delete"]
    position = 0
    for item in change:
        directive = isinstance(item, dict) and _DIRECTIVE in item
        wanted = None if directive else identity(item, merge_key)
        if position == len(named) or (wanted and wanted not in named[position:]):
            raise PatchError(
                f"The order in patch list:\n{change}\n doesn't match $setElementOrder list:\n{order}\n"
            )
        if wanted:
            position = named.index(wanted, position) + 1


def _merge_list(
    original: list[Any], patch: list[Any], prop: Schema | None, merge_key: str, *, deletes: bool = False
) -> list[Any]:
    if not original and not patch:
        return original
    if element_type(original, patch) is not dict:
        if deletes:
            gone = {identity(item, "") for item in patch}
            return [item for item in original if identity(item, "") not in gone]
        merged = each_once([*original, *patch])
    else:
        if not merge_key:
            raise PatchError("cannot merge lists without merge key")
        original, patch = _obey_items(original, patch, merge_key)
        merged = _merge_items(original, patch, _items(prop), merge_key)
    return arrange(merged, patch, original, merge_key)


def _obey_items(original: list[Any], patch: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Original and patch after the directives that stand among the items of a patch."""
    rest: list[Any] = []
    replace = False
    for item in patch:
        directive = item.get(_DIRECTIVE, _NO_DIRECTIVE)
        if directive is _NO_DIRECTIVE:
            rest.append(item)
        elif directive == "delete":
            gone = identity(item, merge_key)
            original = [have for have in original if key_of(have, merge_key) != gone]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise PatchError("merging lists cannot yet be specified in the patch")
        else:
            raise PatchError(f"unknown patch type: {directive} in map: {item}")
    return (rest, []) if replace else (original, rest)


def _merge_items(original: list[Any], patch: list[Any], items: Schema | None, merge_key: str) -> list[Any]:
    result = list(original)
    for item in patch:
        wanted = identity(item, merge_key)
        at = next((i for i, have in enumerate(result) if key_of(have, merge_key) == wanted), None)
        if at is None:
            result.append(item)
        else:
            result[at] = _merge_map(result[at], item, items)
    return result


def _property(schema: Schema | None, key: str) -> tuple[Schema | None, Sequence[str], str]:
    """A member's schema, its patch strategies and its merge key. Raises PatchError when it has none."""
    if schema is None:
        return None, (), ""
    prop = resolve(schema).get("properties", {}).get(key)
    if prop is None:
        raise PatchError(f'unable to find api field for the json field "{key}"')
    strategies = prop.get("x-kubernetes-patch-strategy", "").split(",")
    return prop, strategies, prop.get("x-kubernetes-patch-merge-key", "")


def _items(schema: Schema | None) -> Schema | None:
    found = resolve(schema).get("items") if schema else None
    return found if isinstance(found, dict) else None
