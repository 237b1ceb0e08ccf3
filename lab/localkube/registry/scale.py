"""The scale subresource: replicas of a workload or of a custom resource, as an autoscaling/v1 Scale.

Source: k8s.io/kubernetes/pkg/registry/apps/deployment/storage/storage.go (scaleFromDeployment).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.kube.schema import Schema
from lab.kube.status import bad_request, invalid
from lab.localkube.registry.applying import Applied, apply_intent
from lab.localkube.registry.custom.paths import find_first, set_field
from lab.localkube.registry.custom.resource import CustomResource
from lab.localkube.registry.decoding import thaw
from lab.localkube.registry.ownership import Manager

_WORKLOAD = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".spec.selector",
}
_IDENTITY = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def _selector_text(selector: KubeObject | None) -> str:
    if not selector:
        return ""
    labels = selector.get("matchLabels", {} if "matchExpressions" in selector else selector) or {}
    terms = [f"{key}={value}" for key, value in sorted(labels.items())]
    for expression in selector.get("matchExpressions") or ():
        key, operator = expression.get("key", ""), expression.get("operator")
        values = ",".join(sorted(expression.get("values") or ()))
        if operator in ("In", "NotIn"):
            terms.append(f"{key} {operator.lower()} ({values})")
        else:
            terms.append(key if operator == "Exists" else f"!{key}")
    return ",".join(terms)


def _paths(resource: Resource) -> Mapping[str, str]:
    return resource.scale if isinstance(resource, CustomResource) else _WORKLOAD


def _at(obj: KubeObject, path: str | None) -> Any:
    return find_first(obj, path) if path else None


def _number(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) else 0


def scale_of(resource: Resource, obj: KubeObject) -> KubeObject:
    """The Scale of an object. As in Go's JSON of that type, zero wanted replicas are left out."""
    paths = _paths(resource)
    replicas = _number(_at(obj, paths["specReplicasPath"]))
    status: KubeObject = {"replicas": _number(_at(obj, paths["statusReplicasPath"]))}
    found = _at(obj, paths.get("labelSelectorPath"))
    selector = found if isinstance(found, str) else _selector_text(found)
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in _IDENTITY if key in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def take_scale(resource: Resource, old: KubeObject, scale: KubeObject) -> KubeObject:
    """The workload with a Scale's replicas and, for the conflict check, its resource version.

    Raises StatusError 400 for what is not a Scale, 422 for a negative number.
    """
    if scale.get("kind", "Scale") != "Scale":
        raise bad_request(f"expected kind Scale, but got {scale.get('kind')}")
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if isinstance(replicas, bool) or not isinstance(replicas, int):
        raise bad_request(
            'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal '
            "into Go struct field ScaleSpec.spec.replicas of type int32"
        )
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid(
            "Scale", "autoscaling", old["metadata"]["name"], [("spec.replicas", "FieldValueInvalid", message)]
        )
    result = set_field(old, _paths(resource)["specReplicasPath"], replicas)
    version = (scale.get("metadata") or {}).get("resourceVersion")
    result["metadata"] = dict(old["metadata"])
    result["metadata"]["resourceVersion"] = version or ""
    return result


def apply_scale(
    resource: Resource, old: KubeObject, intent: KubeObject, schema: Schema, author: Manager, *, force: bool
) -> Applied:
    """The workload with what a manager declares about its Scale, and who owns what in it then.

    Raises StatusError 400 or 422 for what is no Scale, 409 when another manager set the replicas.
    """
    path = _paths(resource)["specReplicasPath"]
    wanted: KubeObject = {"metadata": {}}
    if "replicas" in (intent.get("spec") or {}):
        wanted = set_field(wanted, path, _at(take_scale(resource, old, intent), path))
    if not force:
        apply_intent(_as_scale(old), wanted, schema, author, force=False)
    applied = apply_intent(old, wanted, schema, author, force=True)
    if _at(applied.obj, path) is None:  # nobody wants a number any more
        return Applied(set_field(thaw(applied.obj), path, 0), applied.managers)
    return applied


def _as_scale(obj: KubeObject) -> KubeObject:
    """An object whose managers are shown as those of its Scale: in its version and without their times."""
    managers = [
        {**entry, "apiVersion": "autoscaling/v1", "time": ""}
        for entry in obj["metadata"].get("managedFields") or ()
    ]
    return {**obj, "metadata": {**obj["metadata"], "managedFields": managers}}
