"""Reading a request's method and path the way the API server does.

Source: k8s.io/apiserver/pkg/endpoints/request/requestinfo.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MUTATING_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})
CONNECTING_SUBRESOURCES = frozenset({"exec", "attach", "portforward", "proxy"})
"""Subresources that reach into a pod, service or node: they have no dry run and act whatever the method."""

REVIEW_GROUPS = frozenset({"authorization.k8s.io", "authentication.k8s.io"})
"""Creates in these groups ask a question and change nothing."""

_METHOD_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a request is about. For a path outside /api and /apis `is_resource` is False and only verb
    (the lower-case method) and path mean anything."""

    path: str
    verb: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def is_connect(self) -> bool:
        """Does it open a stream into a pod, a service or a node?"""
        return self.subresource in CONNECTING_SUBRESOURCES

    @property
    def is_mutating(self) -> bool:
        """May it change anything? Connects count; reviews, which only answer a question, do not."""
        if not self.is_resource:
            return self.verb not in ("get", "head", "options")
        if self.is_connect:
            return True
        return self.verb in MUTATING_VERBS and self.group not in REVIEW_GROUPS


def truthy(value: str | None) -> bool:
    """A boolean query parameter as Go reads it: present and not one of 0, f, false."""
    return value is not None and value.lower() not in ("0", "f", "false")


def parse_request(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """Work out verb, resource, namespace, name and subresource of a request. Never raises.

    `path` is the decoded path; doubled and trailing slashes are ignored.
    """
    method = method.upper()
    parts = [p for p in path.split("/") if p]
    if len(parts) < 3 or parts[0] not in ("api", "apis") or (parts[0] == "apis" and len(parts) < 4):
        return RequestInfo(path=path, verb=method.lower())
    if parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    else:
        group, version, rest = parts[1], parts[2], parts[3:]
    prefixed = bool(rest) and rest[0] == "watch"  # deprecated, and the only way to watch one name
    if prefixed:
        rest = rest[1:]
    namespace = ""
    if len(rest) >= 2 and rest[0] == "namespaces":
        if len(rest) >= 3 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        else:
            namespace = rest[1]
    resource = rest[0] if rest else ""
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if method in ("GET", "HEAD"):
        watch = prefixed or (not name and truthy(query.get("watch")))
        verb = "watch" if watch else ("get" if name else "list")
    else:
        verb = _METHOD_VERBS.get(method, method.lower())
        if verb == "delete" and not name:
            verb = "deletecollection"
    return RequestInfo(path, verb, True, group, version, resource, namespace, name, subresource)
