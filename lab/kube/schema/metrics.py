"""The schemas of metrics.k8s.io/v1beta1: what pods and nodes use now.

Upstream serves them from a server of their own (metrics-server), so they are not in Kubernetes' own table.
"""

from __future__ import annotations

from typing import Any

_META = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1."
_OWN = "io.k8s.metrics.pkg.apis.metrics.v1beta1."
_TEXT: dict[str, Any] = {"type": "string"}


def _ref(target: str, description: str) -> dict[str, Any]:
    return {"allOf": [{"$ref": target}], "description": description}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _usage() -> dict[str, Any]:
    quantity = {"allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}]}
    return {
        "type": "object",
        "additionalProperties": quantity,
        "description": "Processor cores, on average over the window, and bytes of memory.",
    }


def _kind(kind: str, description: str, more: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": {"apiVersion": _TEXT, "kind": _TEXT, **more},
        "required": required,
        "x-kubernetes-group-version-kind": [{"group": "metrics.k8s.io", "version": "v1beta1", "kind": kind}],
    }


def _sample(kind: str, description: str, field: str, content: dict[str, Any]) -> dict[str, Any]:
    members = {
        "metadata": _ref(_META + "ObjectMeta", "Name, namespace and labels of what is measured."),
        "timestamp": _ref(_META + "Time", "The end of the window."),
        "window": _text("How long was measured, as Go writes a duration."),
        field: content,
    }
    return _kind(kind, description, members, ["timestamp", "window", field])


def _list(kind: str) -> dict[str, Any]:
    items = {"type": "array", "items": {"allOf": [{"$ref": f"#/components/schemas/{_OWN}{kind}"}]}}
    metadata = _ref(_META + "ListMeta", "Of the list.")
    return _kind(f"{kind}List", f"A list of {kind}.", {"metadata": metadata, "items": items}, ["items"])


def metrics_definitions() -> dict[str, dict[str, Any]]:
    """Every definition by its full name."""
    container = {
        "type": "object",
        "description": "What one container uses.",
        "properties": {"name": _text("The container's name."), "usage": _usage()},
        "required": ["name", "usage"],
    }
    containers = {
        "type": "array",
        "items": {"allOf": [{"$ref": f"#/components/schemas/{_OWN}ContainerMetrics"}]},
        "description": "Each running container.",
    }
    return {
        f"{_OWN}ContainerMetrics": container,
        f"{_OWN}PodMetrics": _sample("PodMetrics", "What a pod uses.", "containers", containers),
        f"{_OWN}PodMetricsList": _list("PodMetrics"),
        f"{_OWN}NodeMetrics": _sample("NodeMetrics", "What a node's pods use.", "usage", _usage()),
        f"{_OWN}NodeMetricsList": _list("NodeMetrics"),
    }
