"""Is the object of a custom resource valid?

    shape ─► rules, unless the shape is too wrong ─► 422 or on

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/{strategy,validator}.go.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.localkube.registry.custom.paths import find_first
from lab.localkube.registry.custom.resource import CustomResource
from lab.localkube.registry.custom.values import ABSENT, check_value
from lab.localkube.registry.validation.causes import Causes


def check_custom(resource: CustomResource, new: KubeObject, old: KubeObject | None, causes: Causes) -> None:
    """Report what is wrong with an object; an update tolerates what was wrong and has not changed."""
    schema = resource.schema
    for name, value in new.items():
        inner = (schema.get("properties") or {}).get(name)
        if name != "metadata" and isinstance(inner, dict):
            earlier = ABSENT if old is None else old.get(name, ABSENT)
            check_value(value, inner, name, causes, earlier)
    whole = {key: value for key, value in schema.items() if key not in ("properties", "additionalProperties")}
    check_value(new, whole, "", causes, ABSENT if old is None else old)
    if resource.ruled:
        from lab.localkube.registry.custom.rules import check_rules  # the language's library comes with it

        check_rules(new, schema, causes, old)
    _check_scale(resource, new, causes)


def _check_scale(resource: CustomResource, obj: KubeObject, causes: Causes) -> None:
    for field in ("specReplicasPath", "statusReplicasPath"):
        path = resource.scale.get(field)
        replicas = find_first(obj, path) if path else None
        if isinstance(replicas, int) and not isinstance(replicas, bool) and replicas < 0:
            causes.invalid(path or "", replicas, "should be a non-negative integer")
