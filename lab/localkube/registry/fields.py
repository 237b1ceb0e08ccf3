"""Field selectors: which fields each resource can be selected by, and their values.

Source: the field label conversion functions in k8s.io/kubernetes/pkg/apis/*/v1/conversion.go and the
`ToSelectableFields` of each registry strategy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.kube.selectors import FieldSelector, SelectorError, parse_field_selector
from lab.kube.status import bad_request
from lab.localkube.registry.custom.resource import CustomResource

_EVERYWHERE = ("metadata.name", "metadata.namespace")
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "services": ("spec.clusterIP", "spec.type"),
    "replicationcontrollers": ("status.replicas",),
    "replicasets.apps": ("status.replicas",),
    "jobs.batch": ("status.successful",),
    "events": (
        *(f"involvedObject.{field}" for field in _INVOLVED),
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "events.events.k8s.io": (
        *(f"regarding.{field}" for field in _INVOLVED),
        "reason",
        "reportingController",
        "type",
    ),
}

_DEFAULTS: Mapping[str, str] = {
    "spec.unschedulable": "false",
    "spec.hostNetwork": "false",
    "status.replicas": "0",
    "status.successful": "0",
}


def parse_fields(resource: Resource, text: str) -> FieldSelector:
    """Read a field selector. Raises StatusError 400 for bad syntax or a field that the resource lacks."""
    if not text:
        return FieldSelector()
    try:
        selector = parse_field_selector(text)
    except SelectorError as error:
        raise bad_request(str(error)) from error
    listed = resource.key in _FIELDS or isinstance(resource, CustomResource)
    own = resource.selectable if isinstance(resource, CustomResource) else _FIELDS.get(resource.key, ())
    supported = (*_EVERYWHERE, *own)
    for path, _, _ in selector.terms:
        if path not in supported:
            if listed:
                raise bad_request(f"field label not supported: {path}")
            raise bad_request(
                f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            )
    return selector


def field_value(obj: KubeObject, path: str) -> str:
    """A selectable field as text; absent fields are empty or their zero value."""
    if path == "source":
        source = obj.get("source") or {}
        return str(source.get("component") or obj.get("reportingComponent") or "")
    if path == "status.podIPs":
        return ",".join(ip.get("ip", "") for ip in (obj.get("status") or {}).get("podIPs") or ())
    if path == "status.successful":
        path = "status.succeeded"
        return _text(_at(obj, path)) or "0"
    return _text(_at(obj, path)) or _DEFAULTS.get(path, "")


def _at(obj: KubeObject, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
