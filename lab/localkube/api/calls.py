"""One request with its resource found, and its body held against its path."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from lab.kube.objects import KubeObject
from lab.kube.request import RequestInfo
from lab.kube.resources import Resource
from lab.kube.schema import definition_name
from lab.kube.status import StatusError, bad_request, invalid
from lab.localkube.api.discovery import subresource_kind
from lab.localkube.api.identity import User
from lab.localkube.api.rbac import Attributes
from lab.localkube.registry.custom.resource import CustomResource

_SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
"""Where upstream keeps its kinds, which is part of its sentence."""


class Call:
    """One request with its resource found."""

    def __init__(self, request: web.Request, info: RequestInfo, user: User, resource: Resource) -> None:
        self.request = request
        self.info = info
        self.user = user
        self.resource = resource
        self.namespace = info.namespace if resource.namespaced else ""
        self.agent = request.headers.get("User-Agent", "")

    @property
    def field_selector(self) -> str:
        """The field selector; a watch of one name (the old form) selects that name."""
        selector: str = self.request.query.get("fieldSelector", "")
        if self.info.name:
            named = f"metadata.name={self.info.name}"
            return f"{selector},{named}" if selector else named
        return selector

    def check_body(self, obj: KubeObject) -> None:
        """Fill in kind and apiVersion, and hold kind, name and namespace against the path."""
        resource, info = self.resource, self.info
        group, version, kind = (
            subresource_kind(resource, info.subresource)
            if info.subresource
            else (resource.group, resource.version, resource.kind)
        )
        api_version = f"{group}/{version}" if group else version
        if isinstance(resource, CustomResource) and not info.subresource:
            _check_typed(obj, kind)
        given = (str(obj.setdefault("apiVersion", api_version)), str(obj.setdefault("kind", kind)))
        if given != (api_version, kind) and info.subresource not in ("eviction", "scale"):
            raise other_kind(resource, given, group, version, kind)
        metadata = obj.get("metadata")
        if metadata is None:
            metadata = obj["metadata"] = {}
        if not isinstance(metadata, dict):
            raise bad_request("metadata must be an object")
        if self.namespace and metadata.get("namespace") not in (None, "", self.namespace):
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if info.name and info.subresource != "binding":
            if not metadata.get("name"):
                metadata["name"] = info.name
            if metadata["name"] != info.name:
                raise bad_request(
                    f"the name of the object ({metadata['name']}) does not match "
                    f"the name on the URL ({info.name})"
                )

    def check_applied(self, intent: Any) -> None:
        """An apply has to say which kind it is about. Raises StatusError 400."""
        if not isinstance(intent, dict):
            raise bad_request("the body is not a Kubernetes object")
        kind, version = str(intent.get("kind") or ""), str(intent.get("apiVersion") or "")
        group, own, expected = subresource_kind(self.resource, self.info.subresource)
        if (kind, version) != (expected, f"{group}/{own}" if group else own):
            shown = version if "/" in version else f"/{version}"
            raise bad_request(f"invalid object type: {shown}, Kind={kind}")

    @property
    def creation(self) -> Attributes:
        """What a PUT that creates has to be allowed as well."""
        info = self.info
        return Attributes("create", info.group, info.resource, "", info.namespace, info.name)


def _check_typed(obj: KubeObject, kind: str) -> None:
    """A custom object has to say what it is; of built-in ones the path is enough."""
    for field, name in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not obj.get(field):
            shown = orjson.dumps(obj).decode()
            why = f"Object '{name}' is missing in '{shown}' ({shown})"
            raise bad_request(f"the object provided is unrecognized (must be of type {kind}): {why}")


def other_kind(
    resource: Resource, given: tuple[str, str], group: str, version: str, kind: str
) -> StatusError:
    """The refusal of a body of another kind or version than the path's."""
    api_version, other = given
    if isinstance(resource, CustomResource):
        expected = f"{group}/{version}"
        if api_version != expected:
            why = f"does not match the expected API version ({expected})"
            return bad_request(f"the API version in the data ({api_version}) {why}")
        problem = f'Invalid value: "{other}": must be {kind}'
        return invalid(other, group, "", [("kind", "FieldValueInvalid", problem)])
    other_group, _, other_version = api_version.rpartition("/")
    if definition_name(other_group, other_version, other) is None:
        why = f'no kind "{other}" is registered for version "{api_version}" in scheme "{_SCHEME}"'
    else:
        internal = (group or "core").split(".")[0]
        why = f"converting ({other_version}.{other}) to ({internal}.{kind}): unknown conversion"
    return bad_request(f'{other} in version "{other_version}" cannot be handled as a {kind}: {why}')
