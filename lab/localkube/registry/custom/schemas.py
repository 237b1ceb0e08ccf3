"""Is a schema structural, and does it make sense?

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{validation,complete}.go and
pkg/apis/apiextensions/validation/validation.go.
"""

from __future__ import annotations

import re
from typing import Any

from lab.kube.schema import Schema
from lab.localkube.registry.custom.patterns import compiled_pattern
from lab.localkube.registry.custom.rules import RULES, is_transition, rule_problem
from lab.localkube.registry.custom.structure import EMBEDDED, PRESERVE
from lab.localkube.registry.custom.values import (
    INT_OR_STRING,
    LIST_TYPE,
    MAP_KEYS,
    check_value,
)
from lab.localkube.registry.validation.causes import Causes

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = {
    "$ref": "$ref is not supported",
    "$schema": "$schema is not supported",
    "id": "id is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "patternProperties": "patternProperties is not supported",
    "additionalItems": "additionalItems is not supported",
}
_STRUCTURE_ONLY = (
    "type",
    "title",
    "description",
    "default",
    "additionalProperties",
    "nullable",
    PRESERVE,
    EMBEDDED,
    INT_OR_STRING,
    LIST_TYPE,
    MAP_KEYS,
    "x-kubernetes-map-type",
    RULES,
)
_INT_OR_STRING = ({"type": "integer"}, {"type": "string"})
_LEVELS = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")


def check_schema(schema: Schema, path: str, causes: Causes) -> None:
    """Report everything about a schema that upstream refuses. What no document may say hides the rest."""
    before = len(causes.found)
    _check_keywords(schema, path, causes)
    if len(causes.found) > before:
        return
    _check_structure(schema, path, causes, "root")
    if len(causes.found) == before:
        _check_meaning(schema, path, causes, in_list=False)


def _check_keywords(schema: Schema, path: str, causes: Causes) -> None:
    """Keywords that no definition may use, at any depth."""
    for keyword, why in _UNSUPPORTED.items():
        if schema.get(keyword):
            causes.forbidden(f"{path}.{keyword}", why)
    if schema.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        causes.forbidden(f"{path}.uniqueItems", why)
    kind, extra = schema.get("type"), schema.get("additionalProperties")
    if kind and kind not in _TYPES:
        causes.unsupported(f"{path}.type", kind, _TYPES)
    if extra is False:
        causes.forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    elif extra is not None and schema.get("properties"):
        why = "additionalProperties and properties are mutual exclusive"
        causes.forbidden(f"{path}.additionalProperties", why)
    if isinstance(schema.get("items"), list):
        causes.forbidden(f"{path}.items", "items must be a schema object and not an array")
    _check_pattern(schema, path, causes)
    for at, inner in _below(schema, path):
        _check_keywords(inner, at, causes)
    for at, inner in _alternatives(schema, path):
        _check_keywords(inner, at, causes)


def _check_pattern(schema: Schema, path: str, causes: Causes) -> None:
    pattern = schema.get("pattern")
    if not pattern:
        return
    try:
        compiled_pattern(pattern)
    except re.error as error:
        causes.invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")


def _below(schema: Schema, path: str) -> list[tuple[str, Schema]]:
    """The schemas of members and items."""
    found = [(f"{path}.properties[{name}]", each) for name, each in (schema.get("properties") or {}).items()]
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            found.append((f"{path}.{keyword}", schema[keyword]))
    return found


def _alternatives(schema: Schema, path: str) -> list[tuple[str, Schema]]:
    """The schemas that only validate."""
    found = []
    for keyword in ("allOf", "anyOf", "oneOf"):
        for index, each in enumerate(schema.get(keyword) or ()):
            found.append((f"{path}.{keyword}[{index}]", each))
    if schema.get("not") is not None:
        found.append((f"{path}.not", schema["not"]))
    return found


def _check_structure(schema: Schema, path: str, causes: Causes, level: str) -> None:
    kind, anything = schema.get("type"), schema.get(PRESERVE)
    if anything is False:
        causes.invalid(f"{path}.{PRESERVE}", False, "must be true or undefined")
    if schema.get(EMBEDDED) and kind != "object":
        why = f"must be object if {EMBEDDED} is true"
        causes.invalid(f"{path}.type", kind, why) if kind else causes.required(f"{path}.type", why)
    elif not kind and not schema.get(INT_OR_STRING) and not anything:
        causes.required(f"{path}.type", _LEVELS[level])
    elif level == "root" and kind and kind != "object":
        causes.invalid(f"{path}.type", kind, "must be object at the root")
    if schema.get(INT_OR_STRING) and kind:
        why = f"must be empty if {INT_OR_STRING} is true"
        causes.invalid(f"{path}.type", kind, why)
    if kind == "array" and not isinstance(schema.get("items"), dict):
        causes.required(f"{path}.items", "must be specified")
    if level == "root" or schema.get(EMBEDDED):
        _check_own_metadata(schema, path, causes)
    for at, inner in _alternatives(schema, path):
        if not (schema.get(INT_OR_STRING) and inner in _INT_OR_STRING):
            _check_alternative(inner, schema, at, path, causes)
    for at, inner in _below(schema, path):
        _check_structure(inner, at, causes, "item" if at.endswith(".items") else "field")


def _check_own_metadata(schema: Schema, path: str, causes: Causes) -> None:
    properties = schema.get("properties") or {}
    for name in ("apiVersion", "kind"):
        if name in properties and properties[name].get("type") != "string":
            causes.invalid(
                f"{path}.properties[{name}].type", properties[name].get("type", ""), "must be string"
            )
    metadata = properties.get("metadata")
    if metadata is None:
        return
    if metadata.get("type") != "object":
        causes.invalid(f"{path}.properties[metadata].type", metadata.get("type", ""), "must be object")
    allowed = {"type", "description", "properties"}
    if set(metadata) - allowed or set(metadata.get("properties") or {}) - {"name", "generateName"}:
        why = (
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
        causes.forbidden(f"{path}.properties[metadata]", why)


def _check_alternative(inner: Schema, outer: Schema, path: str, above: str, causes: Causes) -> None:
    """Inside allOf, anyOf, oneOf and not: nothing that shapes, and only fields that are shaped outside."""
    if outer.get(INT_OR_STRING) and inner.get("anyOf") == [*_INT_OR_STRING]:
        return
    for keyword in _STRUCTURE_ONLY:
        if inner.get(keyword):
            causes.forbidden(f"{path}.{keyword}", "must be empty to be structural")
    properties = outer.get("properties") or {}
    for name, each in (inner.get("properties") or {}).items():
        shaped = properties.get(name, outer.get("additionalProperties"))
        if isinstance(shaped, dict):
            _check_alternative(
                each, shaped, f"{path}.properties[{name}]", f"{above}.properties[{name}]", causes
            )
        elif not outer.get(PRESERVE):
            why = f"because it is defined in {path}.properties[{name}]"
            causes.required(f"{above}.properties[{name}]", why)
    if isinstance(inner.get("items"), dict) and isinstance(outer.get("items"), dict):
        _check_alternative(inner["items"], outer["items"], f"{path}.items", f"{above}.items", causes)
    for at, deeper in _alternatives(inner, path):
        _check_alternative(deeper, outer, at, above, causes)


def _check_meaning(schema: Schema, path: str, causes: Causes, *, in_list: bool) -> None:
    """Defaults that fit, lists with keys, rules that compile."""
    if "default" in schema:
        problems = Causes()
        check_value(schema["default"], schema, "", problems)
        for _, reason, message in problems.found:
            causes.found.append((f"{path}.default", reason, message))
    _check_list(schema, path, causes)
    for index, rule in enumerate(schema.get(RULES) or ()):
        _check_rule(rule, schema, f"{path}.{RULES}[{index}]", causes, in_list=in_list)
    loose = schema.get("type") == "array" and schema.get(LIST_TYPE) != "map"
    for at, inner in _below(schema, path):
        _check_meaning(inner, at, causes, in_list=in_list or (loose and at.endswith(".items")))


def _check_list(schema: Schema, path: str, causes: Causes) -> None:
    kind, keys, items = schema.get(LIST_TYPE), schema.get(MAP_KEYS) or (), schema.get("items") or {}
    if kind is None:
        if keys:
            causes.invalid(f"{path}.{LIST_TYPE}", "", f"must be map if {MAP_KEYS} is non-empty")
        return
    if kind not in ("atomic", "set", "map"):
        causes.unsupported(f"{path}.{LIST_TYPE}", kind, ("atomic", "set", "map"))
    if schema.get("type") != "array":
        causes.invalid(f"{path}.type", schema.get("type", ""), f"must be array if {LIST_TYPE} is specified")
        return
    if kind == "map":
        if items.get("type") != "object":
            causes.invalid(
                f"{path}.items.type", items.get("type", ""), f"must be object if {LIST_TYPE} is map"
            )
        if not keys:
            causes.required(f"{path}.{MAP_KEYS}", f"must not be empty if {LIST_TYPE} is map")
    properties, required = items.get("properties") or {}, items.get("required") or ()
    for index, key in enumerate(keys):
        at = f"{path}.{MAP_KEYS}[{index}]"
        if key not in properties:
            causes.invalid(at, key, "entries must all be names of item properties")
        elif key not in required and "default" not in properties[key]:
            why = f"this property is in {MAP_KEYS}, so it must have a default or be a required property"
            causes.required(f"{path}.items.properties[{key}].default", why)


def _check_rule(rule: dict[str, Any], schema: Schema, path: str, causes: Causes, *, in_list: bool) -> None:
    text = str(rule.get("rule") or "").strip()
    if not text:
        causes.required(f"{path}.rule", "rule is not specified")
        return
    if problem := rule_problem(str(rule["rule"])):
        causes.invalid(f"{path}.rule", rule["rule"], problem)
    elif in_list and is_transition(rule):
        why = "oldSelf cannot be used on the uncorrelatable portion of the schema"
        causes.invalid(f"{path}.rule", rule["rule"], why)
    expression = rule.get("messageExpression")
    if expression and (problem := rule_problem(str(expression), message=True)):
        causes.invalid(f"{path}.messageExpression", expression, problem)
    if rule.get("reason") and rule["reason"] not in _REASONS:
        causes.unsupported(f"{path}.reason", rule["reason"], _REASONS)
    if rule.get("optionalOldSelf"):
        causes.forbidden(f"{path}.optionalOldSelf", "is not supported by this server")
    field = str(rule.get("fieldPath") or "")
    if field and not _leads_somewhere(schema, field):
        causes.invalid(f"{path}.fieldPath", field, f"fieldPath must be a valid path: {field}")


def _leads_somewhere(schema: Schema, field: str) -> bool:
    if not field.startswith((".", "[")):
        return False
    names = re.findall(r"\.([^.\[\]]+)|\['([^']+)'\]", field)
    at: Any = schema
    for plain, quoted in names:
        at = (at.get("properties") or {}).get(plain or quoted, at.get("additionalProperties"))
        if not isinstance(at, dict):
            return False
    return bool(names)
