"""What a structural schema does to an object before it is judged: unknown fields go, defaults come.

Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}.
"""

from __future__ import annotations

from typing import Any

import orjson

from lab.kube.objects import KubeObject
from lab.kube.schema import OBJECT_META, Schema
from lab.kube.status import bad_request
from lab.localkube.registry.decoding import conform_as, thaw

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
_TYPE_FIELDS = ("apiVersion", "kind")


def read_object(obj: KubeObject, schema: Schema, version: str, kind: str) -> tuple[KubeObject, list[str]]:
    """A fresh copy without fields that the schema does not know, and the `unknown field "a.b"` complaints.

    Raises StatusError 400 when its metadata cannot be metadata, and when it is nested too deeply.
    """
    unknown: list[str] = []
    try:
        orjson.dumps([[[[[[[[obj]]]]]]]])  # managedFields nest deeper than what they are about
        return _read(obj, schema, version, kind, unknown), unknown
    except (RecursionError, orjson.JSONEncodeError):
        raise bad_request("the object is nested too deeply") from None


def _read(obj: KubeObject, schema: Schema, version: str, kind: str, unknown: list[str]) -> KubeObject:
    rest = {key: value for key, value in obj.items() if key not in (*_TYPE_FIELDS, "metadata")}
    body = {key: value for key, value in schema.items() if key != EMBEDDED}
    result: KubeObject = {key: obj[key] for key in _TYPE_FIELDS if key in obj}
    metadata = obj.get("metadata") or {}
    result["metadata"] = conform_as(OBJECT_META, metadata, "metadata", unknown, version, kind)
    result |= _known(rest, body, "", unknown)
    return result


def _known(value: Any, schema: Schema | None, path: str, unknown: list[str]) -> Any:
    if schema is None:
        return _copy(value)
    if isinstance(value, list):
        inner = schema.get("items")
        return [_known(item, inner, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    kept: KubeObject = {}
    for key, member in value.items():
        at = f"{path}.{key}" if path else key
        if schema.get(EMBEDDED) and key in (*_TYPE_FIELDS, "metadata"):
            kept[key] = _known(member, None, at, unknown)
        elif key in properties:
            kept[key] = _known(member, properties[key], at, unknown)
        elif isinstance(extra, dict):
            kept[key] = _known(member, extra or None, at, unknown)
        elif extra is True or schema.get(PRESERVE):
            kept[key] = _known(member, None, at, unknown)
        else:
            unknown.append(f'unknown field "{at}"')
    return kept


def only_defaults(schema: Schema) -> Schema:
    """The part of a schema that sets defaults; empty when it has none."""
    kept: Schema = {key: schema[key] for key in ("default", "nullable") if key in schema}
    inside = {name: only_defaults(each) for name, each in (schema.get("properties") or {}).items()}
    inside = {name: each for name, each in inside.items() if each}
    if inside:
        kept["properties"] = inside
    for key in ("items", "additionalProperties"):
        below = only_defaults(schema[key]) if isinstance(schema.get(key), dict) else {}
        if below:
            kept[key] = below
    return kept if kept.keys() - {"nullable"} else {}


def inner_schemas(schema: Schema) -> list[Schema]:
    """The schemas of members and items."""
    inner = [*(schema.get("properties") or {}).values()]
    inner += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]
    return inner


def set_defaults(value: Any, schema: Schema) -> None:
    """Fill in what is missing and drop nulls that the schema does not allow, in place."""
    if isinstance(value, list):
        for item in value:
            set_defaults(item, schema.get("items") or {})
        return
    if not isinstance(value, dict):
        return
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, prop in properties.items():
        if key in value and value[key] is None and not prop.get("nullable"):
            del value[key]
        if key not in value and "default" in prop:
            value[key] = _copy(prop["default"])
    for key in list(value):
        prop = properties.get(key, extra)
        if not isinstance(prop, dict):
            continue
        if value[key] is None and prop and key not in properties and not prop.get("nullable"):
            if "default" not in prop:
                del value[key]
                continue
            value[key] = _copy(prop["default"])
        set_defaults(value[key], prop)


def lacks_defaults(value: Any, schema: Schema) -> bool:
    """Would `set_defaults` by what `only_defaults` gave fill anything in?"""
    if isinstance(value, list):
        inner = schema.get("items")
        return inner is not None and any(lacks_defaults(item, inner) for item in value)
    if not isinstance(value, dict):
        return False
    properties, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, prop in properties.items():
        member = value.get(key)
        if member is None and "default" in prop and not (key in value and prop.get("nullable")):
            return True
        if member is not None and lacks_defaults(member, prop):
            return True
    return isinstance(extra, dict) and any(lacks_defaults(member, extra) for member in value.values())


def _copy(value: Any) -> Any:
    return thaw({"value": value})["value"]
