"""OpenAPI v3 as Swagger 2.0, as far as our documents use it.

Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi/v2/conversion.go (what a schema loses).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.kube.schema import Schema, reference
from lab.localkube.api.media import JSON, YAML

_LOST = frozenset({"allOf", "anyOf", "oneOf", "not", "nullable", "$ref"})
_SCHEMAS = ("items", "additionalProperties")


def swagger_schema(schema: Schema) -> Schema:
    """A schema without what Swagger lacks."""
    out = {key: value for key, value in schema.items() if key not in (*_LOST, *_SCHEMAS, "properties")}
    if isinstance(schema.get("properties"), dict):
        out["properties"] = {name: swagger_schema(each) for name, each in schema["properties"].items()}
    for key in _SCHEMAS:
        if key in schema:
            out[key] = swagger_schema(schema[key]) if isinstance(schema[key], dict) else schema[key]
    name = reference(schema)
    if name:
        out["$ref"] = f"#/definitions/{name}"
    elif "oneOf" in schema and "type" not in schema:
        out["type"] = "string"
    return out


def swagger_path(operations: Mapping[str, Any]) -> dict[str, Any]:
    """The operations of a path."""
    return {
        method: [_parameter(each) for each in operation] if method == "parameters" else _operation(operation)
        for method, operation in operations.items()
    }


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": parameter["name"], "in": parameter["in"]} | dict(parameter["schema"])


def _operation(operation: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(operation)
    out["parameters"] = [_parameter(each) for each in operation.get("parameters", ())]
    body = out.pop("requestBody", None)
    out["produces"] = [JSON, YAML]
    out["consumes"] = list(body["content"]) if body else ["*/*"]
    if body:
        schema = swagger_schema(next(iter(body["content"].values()))["schema"])
        out["parameters"].append({"name": "body", "in": "body", "schema": schema})
    out["responses"] = {
        code: {"description": "OK", "schema": swagger_schema(answer["content"][JSON]["schema"])}
        for code, answer in operation["responses"].items()
    }
    return out
