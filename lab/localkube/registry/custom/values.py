"""Holding a value against an OpenAPI v3 schema, with upstream's words for every way in which it can fail.

An update tolerates what was invalid already and has not changed.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/validation/{validation,ratcheting}.go and
k8s.io/kube-openapi/pkg/validation/{validate,errors}.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from lab.kube.schema import Schema
from lab.localkube.registry.custom.formats import format_problem
from lab.localkube.registry.custom.patterns import compiled_pattern
from lab.localkube.registry.validation.causes import Causes

INT_OR_STRING = "x-kubernetes-int-or-string"
LIST_TYPE, MAP_KEYS = "x-kubernetes-list-type", "x-kubernetes-list-map-keys"
ABSENT = object()
"""Where there is no earlier value."""

NOWHERE = "<nil>"
"""How upstream writes the path of a problem that it does not place."""


def check_value(value: Any, schema: Schema, path: str, causes: Causes, old: Any = ABSENT) -> None:
    """Report every way in which a value does not fit its schema.

    old: the value in the object that is replaced; ABSENT on a create.
    """
    if old is not ABSENT and old == value:
        return
    wanted = _types(schema)
    if value is None:
        if wanted and not schema.get("nullable"):
            _mistyped(value, wanted, path, causes)
        _check_enum(value, schema, path, causes)
        return
    if wanted and not any(_is_of(value, each) for each in wanted):
        _mistyped(value, wanted, path, causes)
    _check_combinations(value, schema, path, causes)
    if isinstance(value, str):
        _check_text(value, schema, path, causes)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_number(value, schema, path, causes)
    elif isinstance(value, list):
        _check_items(value, schema, path, causes, old)
    elif isinstance(value, dict):
        _check_members(value, schema, path, causes, old)
    _check_enum(value, schema, path, causes)


def _types(schema: Schema) -> tuple[str, ...]:
    if schema.get(INT_OR_STRING):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def type_of(value: Any) -> str:
    """The JSON type of a value, as messages name it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _is_of(value: Any, wanted: str) -> bool:
    have = type_of(value)
    if wanted == "number":
        return have in ("integer", "number")
    if wanted == "integer" and have == "number":
        return bool(value.is_integer())
    return have == wanted


def _mistyped(value: Any, wanted: tuple[str, ...], path: str, causes: Causes) -> None:
    have = type_of(value)
    message = f'Invalid value: "{have}": {path} in body must be of type {",".join(wanted)}: "{have}"'
    causes.found.append((path or NOWHERE, "FieldValueTypeInvalid", message))


def _invalid(path: str, value: Any, why: str, causes: Causes) -> None:
    causes.invalid(path or NOWHERE, value, f"{path} in body {why}".lstrip())


def _check_enum(value: Any, schema: Schema, path: str, causes: Causes) -> None:
    allowed = schema.get("enum")
    if not allowed or any(value == each and type_of(value) == type_of(each) for each in allowed):
        return
    shown = f'"{value}"' if isinstance(value, str) else "null" if value is None else str(value)
    supported = ", ".join(f'"{each}"' for each in allowed)
    message = f"Unsupported value: {shown}: supported values: {supported}"
    causes.found.append((path or NOWHERE, "FieldValueNotSupported", message))


def _check_text(value: str, schema: Schema, path: str, causes: Causes) -> None:
    shortest, longest, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        message = f"Too long: may not be more than {longest} bytes"
        causes.found.append((path or NOWHERE, "FieldValueTooLong", message))
    if shortest is not None and len(value) < shortest:
        _invalid(path, value, f"should be at least {shortest} chars long", causes)
    if pattern and not compiled_pattern(pattern).search(value):
        _invalid(path, value, f"should match '{pattern}'", causes)
    form = schema.get("format")
    if form and format_problem(form, value):
        _invalid(path, value, f'must be of type {form}: "{value}"', causes)


def _check_number(value: float, schema: Schema, path: str, causes: Causes) -> None:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if high is not None:
        strict = bool(schema.get("exclusiveMaximum"))
        if value > high or (strict and value == high):
            _invalid(path, value, f"should be less than {'' if strict else 'or equal to '}{high}", causes)
    if low is not None:
        strict = bool(schema.get("exclusiveMinimum"))
        if value < low or (strict and value == low):
            _invalid(path, value, f"should be greater than {'' if strict else 'or equal to '}{low}", causes)
    if step and not _is_multiple(value, step):
        _invalid(path, value, f"should be a multiple of {step}", causes)
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if bits and not -(2**bits) <= value < 2**bits:
        _invalid(path, value, f"must be of type integer with format {schema['format']}", causes)


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    quotient = value / step
    return math.isfinite(quotient) and math.isclose(quotient, round(quotient), rel_tol=1e-9)


def _check_items(value: list[Any], schema: Schema, path: str, causes: Causes, old: Any) -> None:
    fewest, most, inner = schema.get("minItems"), schema.get("maxItems"), schema.get("items")
    if most is not None and len(value) > most:
        causes.found.append((path, "FieldValueTooMany", _too_many(len(value), most)))
    if fewest is not None and len(value) < fewest:
        _invalid(path, len(value), f"should have at least {fewest} items", causes)
    earlier = earlier_items(old, schema)
    for index, item in enumerate(value):
        if isinstance(inner, dict):
            check_value(item, inner, f"{path}[{index}]", causes, earlier(item))
    _check_unique(value, schema, path, causes)


def _too_many(have: int, most: int) -> str:
    return f"Too many: {have}: must have at most {most} items"


def _check_unique(value: list[Any], schema: Schema, path: str, causes: Causes) -> None:
    seen: set[bytes] = set()
    if schema.get(LIST_TYPE) not in ("set", "map"):
        return
    for index, item in enumerate(value):
        key = _key_of(item, schema)
        identity = orjson.dumps(key)
        if identity in seen:
            causes.duplicate(f"{path}[{index}]", key)
        seen.add(identity)


def _key_of(item: Any, schema: Schema) -> Any:
    if schema.get(LIST_TYPE) == "map" and isinstance(item, dict):
        return {key: item[key] for key in schema.get(MAP_KEYS) or () if key in item}
    return item


def earlier_items(old: Any, schema: Schema) -> Callable[[Any], Any]:
    """Finds the item of the same key in a list that is replaced, or ABSENT; only keyed lists have one."""
    if schema.get(LIST_TYPE) != "map" or not isinstance(old, list):
        return lambda item: ABSENT
    known = {orjson.dumps(_key_of(item, schema)): item for item in old}
    return lambda item: known.get(orjson.dumps(_key_of(item, schema)), ABSENT)


def _check_members(value: Mapping[str, Any], schema: Schema, path: str, causes: Causes, old: Any) -> None:
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    fewest, most = schema.get("minProperties"), schema.get("maxProperties")
    if most is not None and len(value) > most:
        causes.found.append((path or NOWHERE, "FieldValueTooMany", _too_many(len(value), most)))
    if fewest is not None and len(value) < fewest:
        _invalid(path, len(value), f"should have at least {fewest} properties", causes)
    for name in schema.get("required") or ():
        if name not in value:
            causes.required(below(path, name))
    for name, member in value.items():
        inner = properties.get(name, extra)
        if isinstance(inner, dict):
            earlier = old.get(name, ABSENT) if isinstance(old, dict) else ABSENT
            check_value(member, inner, below(path, name), causes, earlier)


def below(path: str, name: str) -> str:
    """The path of a member."""
    return f"{path}.{name}" if path else name


def _check_combinations(value: Any, schema: Schema, path: str, causes: Causes) -> None:
    if schema.get("anyOf"):
        tried = [_tried(value, each, path) for each in schema["anyOf"]]
        if all(problems.found for problems in tried):
            _unplaced(f'"{path}" must validate at least one schema (anyOf)', causes)
            causes.found += min(tried, key=lambda problems: len(problems.found)).found
    if schema.get("oneOf"):
        tried = [_tried(value, each, path) for each in schema["oneOf"]]
        fitting = sum(not problems.found for problems in tried)
        if fitting != 1:
            found = f"Found {fitting} valid alternatives" if fitting else "Found none valid"
            _unplaced(f'"{path}" must validate one and only one schema (oneOf). {found}', causes)
            if not fitting:
                causes.found += min(tried, key=lambda problems: len(problems.found)).found
    if schema.get("allOf"):
        tried = [_tried(value, each, path) for each in schema["allOf"]]
        if any(problems.found for problems in tried):
            for problems in tried:
                causes.found += problems.found
            _unplaced(f'"{path}" must validate all the schemas (allOf)', causes)
    if schema.get("not") is not None and not _tried(value, schema["not"], path).found:
        _unplaced(f'"{path}" must not validate the schema (not)', causes)


def _unplaced(why: str, causes: Causes) -> None:
    causes.invalid(NOWHERE, "", why)


def _tried(value: Any, schema: Schema, path: str) -> Causes:
    problems = Causes()
    check_value(value, schema, path, problems)
    return problems
