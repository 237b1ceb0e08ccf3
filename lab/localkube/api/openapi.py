"""OpenAPI documents, made from the resource table and the schema table on first use and kept as bytes.

kubectl finds merge keys in the components, and patch types and `fieldValidation` in the PATCH operations;
without those it refuses to create or apply.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from lab.kube.resources import Resource
from lab.kube.schema import REFERENCE, Schema
from lab.kube.status import path_not_found
from lab.localkube.api.definitions import Definitions, Kind
from lab.localkube.api.discovery import subresource_kind, subresource_verbs
from lab.localkube.api.media import JSON, PATCH_TYPES, STRATEGIC, YAML
from lab.localkube.api.swagger import swagger_path, swagger_schema
from lab.localkube.protocols import Registry
from lab.localkube.registry.custom.resource import CustomResource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_METHODS = {
    "get": "get",
    "create": "post",
    "update": "put",
    "patch": "patch",
    "delete": "delete",
    "list": "get",
    "deletecollection": "delete",
}
_ACTIONS = {"create": "post", "update": "put", "watch": "watchlist"}
_COLLECTION_VERBS = ("list", "create", "deletecollection")
_ITEM_VERBS = ("get", "update", "patch", "delete")
_WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")
_PARAMETERS = {
    "create": _WRITE_PARAMETERS,
    "update": _WRITE_PARAMETERS,
    "patch": (*_WRITE_PARAMETERS, "force"),
    "delete": ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"),
    "list": (
        "allowWatchBookmarks",
        "continue",
        "fieldSelector",
        "labelSelector",
        "limit",
        "resourceVersion",
        "resourceVersionMatch",
        "sendInitialEvents",
        "timeoutSeconds",
        "watch",
    ),
}
_TYPES = {
    "limit": "integer",
    "timeoutSeconds": "integer",
    "gracePeriodSeconds": "integer",
    "watch": "boolean",
    "force": "boolean",
    "allowWatchBookmarks": "boolean",
    "sendInitialEvents": "boolean",
    "orphanDependents": "boolean",
}


class OpenApi:
    """The documents of what a registry serves."""

    def __init__(self, registry: Registry, version: str) -> None:
        self._registry = registry
        self._version = version
        self._documents: dict[str, bytes] = {}
        self._served: Sequence[Resource] = ()
        self._definitions = Definitions(())

    def _resources(self) -> Sequence[Resource]:
        """What is served now; what was made for something else is forgotten."""
        resources = self._registry.resources()
        if resources is not self._served:
            self._served, self._documents = resources, {}
            self._definitions = Definitions(resources)
        return resources

    def index(self) -> dict[str, Any]:
        """/openapi/v3: a hashed address for every group and version."""
        paths: dict[str, dict[str, str]] = {}
        for resource in self._resources():
            name = _group_path(resource)
            if name not in paths:
                digest = hashlib.sha256(f"{self._version} {self._of(name)!r}".encode()).hexdigest().upper()
                paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
        return {"paths": paths}

    def v3(self, name: str) -> bytes:
        """/openapi/v3/{name}, such as `apis/apps/v1`. Raises StatusError 404."""
        resources = self._of(name)
        if name not in self._documents:
            if not resources:
                raise path_not_found()
            self._documents[name] = orjson.dumps(self._document(resources))
        return self._documents[name]

    def v2(self) -> bytes:
        """/openapi/v2: every definition and path in Swagger 2.0 form."""
        resources = self._resources()
        if "v2" not in self._documents:
            types = self._definitions
            paths = {
                path: swagger_path(operations)
                for resource in resources
                for path, operations in _paths(resource, types).items()
            }
            document = {
                "swagger": "2.0",
                "info": {"title": "Kubernetes", "version": self._version},
                "paths": paths,
                "definitions": {name: swagger_schema(schema) for name, schema in types.table.items()},
            }
            self._documents["v2"] = orjson.dumps(document)
        return self._documents["v2"]

    def _of(self, name: str) -> list[Resource]:
        return [r for r in self._resources() if _group_path(r) == name]

    def _document(self, resources: list[Resource]) -> dict[str, Any]:
        paths: dict[str, Any] = {}
        for resource in resources:
            paths |= _paths(resource, self._definitions)
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": self._version},
            "paths": paths,
            "components": {
                "schemas": _closure(_roots(resources, self._definitions), self._definitions.table)
            },
        }


def _group_path(resource: Resource) -> str:
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


def _roots(resources: Iterable[Resource], types: Definitions) -> Iterator[str]:
    yield from (_META + "Status", _META + "DeleteOptions", _META + "APIResourceList")
    for resource in resources:
        kinds = [(resource.group, resource.version, kind) for kind in (resource.kind, resource.list_kind)]
        kinds += (subresource_kind(resource, name) for name in resource.subresources)
        yield from (name for kind in kinds if (name := types.name(kind)))


def _closure(roots: Iterable[str], table: Mapping[str, Schema]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name not in found and name in table:
            found[name] = table[name]
            pending += _references(table[name])
    return dict(sorted(found.items()))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        ref = value.get("$ref")
        if isinstance(ref, str):
            yield ref.removeprefix(REFERENCE)
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def _paths(resource: Resource, types: Definitions) -> dict[str, Any]:
    namespace = "{namespace}" if resource.namespaced else ""
    out = {
        resource.path(namespace): _operations(resource, "", _COLLECTION_VERBS, types),
        resource.path(namespace, "{name}"): _operations(resource, "", _ITEM_VERBS, types),
    }
    if resource.namespaced and "list" in resource.verbs:
        out[resource.path()] = _operations(resource, "", ("list",), types)
    for name in resource.subresources:
        verbs = [verb for verb in subresource_verbs(name) if verb in _METHODS]
        out[resource.path(namespace, "{name}", name)] = _operations(resource, name, verbs, types)
    return {path: operations for path, operations in out.items() if len(operations) > 1}


def _operations(
    resource: Resource, subresource: str, verbs: Iterable[str], types: Definitions
) -> dict[str, Any]:
    group, version, kind = (
        subresource_kind(resource, subresource)
        if subresource
        else (resource.group, resource.version, resource.kind)
    )
    served = verbs if subresource else [verb for verb in verbs if verb in resource.verbs]
    out: dict[str, Any] = {"parameters": [_parameter("pretty")]}
    for verb in served:
        out[_METHODS[verb]] = _operation(resource, subresource, verb, (group, version, kind), types)
    return out


def _operation(
    resource: Resource, subresource: str, verb: str, kind: Kind, types: Definitions
) -> dict[str, Any]:
    answer = _content(_META + "Status" if "delete" in verb else types.name(kind), (JSON, YAML))
    operation: dict[str, Any] = {
        "operationId": f"{verb}_{resource.api_version}_{resource.plural}_{subresource}".replace("/", "_"),
        "tags": [resource.group or "core"],
        "parameters": [_parameter(name) for name in _PARAMETERS.get(verb, ())],
        "responses": {"200": {"description": "OK", "content": answer}},
        "x-kubernetes-action": _ACTIONS.get(verb, verb),
        "x-kubernetes-group-version-kind": dict(zip(("group", "version", "kind"), kind, strict=True)),
    }
    if verb in ("create", "update"):
        operation["requestBody"] = {
            "content": _content(types.name(kind), (JSON, YAML)),
            "required": True,
        }
    elif verb == "patch":
        kinds = [
            each for each in PATCH_TYPES if each != STRATEGIC or not isinstance(resource, CustomResource)
        ]
        operation["requestBody"] = {"content": _content(_META + "Patch", kinds), "required": True}
    elif "delete" in verb:
        operation["requestBody"] = {"content": _content(_META + "DeleteOptions", (JSON, YAML))}
    return operation


def _content(name: str | None, media: Iterable[str]) -> dict[str, Any]:
    schema = {"$ref": REFERENCE + name} if name else {"type": "string"}
    return {kind: {"schema": schema} for kind in media}


def _parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": _TYPES.get(name, "string"), "uniqueItems": True}}
