"""The OpenAPI 3.1 document of the pager, made from its table of operations."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from lab.pager.fields import Schema, fields_schema
from lab.pager.operation import KEY_HEADER, MAX_KEY, Operation, Query
from lab.pager.refusals import MEANINGS
from lab.pager.schemas import COMPONENTS, TEXT, named
from lab.version import __version__

PATH = "/openapi.json"
_JSON = "application/json"

OF_EVERY_POD = tuple(
    Operation("GET", path, name, summary, None, TEXT, media=("text/plain",), refusals=codes)
    for path, name, summary, codes in (
        ("/healthz", "healthz", "Does the process live?", ()),
        ("/readyz", "readyz", "Can it take requests?", (503,)),
        ("/metrics", "metrics", "Metrics in the Prometheus text format.", ()),
    )
)
"""Served by `lab.metrics.pod`, as in every pod of the lab."""

THE_DOCUMENT = Operation(
    "GET", PATH, "openapi", "This document.", None, {"type": "object", "required": ["openapi"]}
)


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The document of these operations and of what every pod serves."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in (*operations, THE_DOCUMENT, *OF_EVERY_POD):
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "toil-lab pager",
            "version": __version__,
            "summary": "Alerts in, incidents, people and programs, webhooks out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {
                "admin": {"type": "http", "scheme": "bearer", "description": "The lab's admin token."}
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = [_path_parameter(name) for name in re.findall(r"{(\w+)}", operation.path)]
    parameters += [_query_parameter(query) for query in operation.query]
    if operation.method == "POST":
        parameters.append(_key_parameter())
    made: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": _responses(operation),
    }
    if parameters:
        made["parameters"] = parameters
    if operation.has_body:
        schema = operation.raw or fields_schema(operation.fields)
        content = {_JSON: {"schema": schema}}
        made["requestBody"] = {"required": not operation.without_body, "content": content}
    if operation.is_admin:
        made["security"] = [{"admin": []}]
    return made


def _responses(operation: Operation) -> dict[str, Any]:
    content = {media: {"schema": operation.answer if media == _JSON else TEXT} for media in operation.media}
    codes = {operation.success}
    if operation.success == 201:
        codes.add(200)
    responses: dict[str, Any] = {
        str(code): {
            "description": "Done." if code == operation.success else "It was so already.",
            "content": content,
        }
        for code in sorted(codes)
    }
    for code in sorted(_refusals(operation)):
        responses[str(code)] = _refusal(code, operation.path)
    return responses


def _refusals(operation: Operation) -> set[int]:
    codes = set(operation.refusals)
    if operation.handler is None:
        return codes
    if operation.has_body:
        codes |= {400, 413}
    if operation.query:
        codes.add(400)
    if operation.is_admin:
        codes.add(401)
    if any(field.is_author for field in operation.fields):
        codes.add(403)
    if operation.method == "POST":
        codes.add(422)
    if operation.method != "GET":
        codes.add(507)
    return codes


def _refusal(code: int, path: str) -> dict[str, Any]:
    if code not in MEANINGS:  # a probe's
        return {"description": "No.", "content": {"text/plain": {"schema": TEXT}}}
    schema: Schema = TEXT if path.startswith("/api/v2/") else named("Refusal")
    return {"description": MEANINGS[code], "content": {_JSON: {"schema": schema}}}


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


def _query_parameter(query: Query) -> dict[str, Any]:
    schema: Schema = dict(TEXT)
    if query.choices:
        schema["enum"] = list(query.choices)
    if query.default:
        schema["default"] = query.default
    if query.many:
        schema = {"type": "array", "items": schema}
    return {"name": query.name, "in": "query", "description": query.meaning, "schema": schema}


def _key_parameter() -> dict[str, Any]:
    return {
        "name": KEY_HEADER,
        "in": "header",
        "description": "The same key has the same answer: a retry does nothing twice.",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
    }
