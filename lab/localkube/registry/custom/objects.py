"""The objects of custom resources: read and completed by their schemas, their status and generation.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/{strategy,status_strategy}.go.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.localkube.registry.custom.resource import CustomResource
from lab.localkube.registry.custom.structure import read_object, set_defaults


def read_custom(resource: CustomResource, obj: KubeObject) -> tuple[KubeObject, list[str]]:
    """A fresh copy without unknown fields, and the complaints about those. Raises StatusError 400."""
    value, unknown = read_object(obj, resource.schema, resource.version, resource.kind)
    return value, sorted(unknown)


def complete_custom(resource: CustomResource, obj: KubeObject) -> None:
    """Fill in defaults and drop nulls that mean nothing, in place."""
    set_defaults(obj, resource.schema)


def begin_custom(resource: CustomResource, obj: KubeObject) -> None:
    """Generation and status of a new object, in place."""
    obj["metadata"]["generation"] = 1
    if "status" in resource.subresources:
        obj.pop("status", None)


def carry_custom(resource: CustomResource, old: KubeObject, new: KubeObject) -> None:
    """Status and generation of an updated object, in place."""
    aside = {"metadata"}
    if "status" in resource.subresources:
        aside.add("status")
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    generation = int(old["metadata"].get("generation") or 0)
    new["metadata"]["generation"] = generation + (_without(old, aside) != _without(new, aside))


def _without(obj: KubeObject, fields: set[str]) -> KubeObject:
    return {key: value for key, value in obj.items() if key not in fields}


def take_custom_status(old: KubeObject, new: KubeObject) -> KubeObject:
    """The result of a write to /status: the old object with the new one's status."""
    result = _without(old, {"status"}) | {"metadata": dict(old["metadata"])}
    if "status" in new:
        result["status"] = new["status"]
    result["metadata"].pop("managedFields", None)
    if new["metadata"].get("managedFields"):
        result["metadata"]["managedFields"] = new["metadata"]["managedFields"]
    return result
