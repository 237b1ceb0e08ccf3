"""The one name for a raw Kubernetes object, and the few facts read from every one of them."""

from __future__ import annotations

from typing import Any, TypeAlias

KubeObject: TypeAlias = dict[str, Any]
"""A Kubernetes object as JSON gives it. It does not travel further than it must."""


def name_of(obj: KubeObject) -> str:
    """metadata.name, or an empty string."""
    return str(obj.get("metadata", {}).get("name") or "")


def namespace_of(obj: KubeObject) -> str:
    """metadata.namespace, or an empty string for cluster-scoped objects."""
    return str(obj.get("metadata", {}).get("namespace") or "")


def labels_of(obj: KubeObject) -> dict[str, str]:
    """metadata.labels, never None. A copy is not made: do not write to it."""
    return obj.get("metadata", {}).get("labels") or {}


def controller_of(obj: KubeObject) -> KubeObject | None:
    """The owner reference with controller=true, if there is one."""
    for ref in obj.get("metadata", {}).get("ownerReferences") or ():
        if ref.get("controller"):
            return dict(ref)
    return None
