"""What expressions can read of a request.

Source: k8s.io/apiserver/pkg/admission/plugin/cel/condition.go (CreateAdmissionRequest).
"""

from __future__ import annotations

from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.localkube.protocols import AdmissionRequest
from lab.localkube.registry.policies.fields import namespace_fields
from lab.localkube.registry.policies.matching import namespace_in
from lab.localkube.registry.served import NAMESPACES, storage_of

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


def values_of(
    request: AdmissionRequest, matched: Resource, namespace: KubeObject | None, *, params: bool
) -> dict[str, Any]:
    """Everything by name. Fields of `request` that are empty are absent, as in upstream's JSON.

    matched: the resource in whose form the policy sees the request. namespace: its Namespace object, if any.
    """
    asked, kind = request.resource, request.object_kind
    obj, old = request.object, request.old
    if matched is not asked:
        kind = (matched.group, matched.version, matched.kind)
        obj, old = _converted(asked, matched, obj), _converted(asked, matched, old)
    about: KubeObject = {
        "kind": _kind(kind),
        "resource": _resource(matched),
        "requestKind": _kind(request.object_kind),
        "requestResource": _resource(asked),
        "operation": request.operation,
        "userInfo": request.write.user,
        "dryRun": request.dry_run,
    }
    optional = {
        "name": request.name,
        "namespace": namespace_in(request),
        "subResource": request.subresource,
        "requestSubResource": request.subresource,
        "options": _options(request),
    }
    about |= {key: value for key, value in optional.items() if value}
    of_namespace = namespace if asked.key != NAMESPACES.key else None
    values = {
        "request": about,
        "object": obj,
        "oldObject": old,
        "namespaceObject": namespace_fields(of_namespace),
    }
    return values | {"params": None} if params else values


def _converted(asked: Resource, matched: Resource, obj: KubeObject | None) -> KubeObject | None:
    return None if obj is None else storage_of(matched).read(storage_of(asked).write(obj))


def _kind(kind: tuple[str, str, str]) -> KubeObject:
    return {"group": kind[0], "version": kind[1], "kind": kind[2]}


def _resource(resource: Resource) -> KubeObject:
    return {"group": resource.group, "version": resource.version, "resource": resource.plural}


def _options(request: AdmissionRequest) -> KubeObject | None:
    if request.operation == "CONNECT":
        return None
    options: KubeObject = {"kind": _OPTIONS[request.operation], "apiVersion": "meta.k8s.io/v1"}
    if request.dry_run:
        options["dryRun"] = ["All"]
    if request.delete is None:
        if request.write.field_manager:
            options["fieldManager"] = request.write.field_manager
        return options | {"fieldValidation": request.write.field_validation}
    given = {
        "gracePeriodSeconds": request.delete.grace_period_seconds,
        "propagationPolicy": request.delete.propagation_policy,
        "preconditions": dict(request.delete.preconditions) or None,
    }
    return options | {key: value for key, value in given.items() if value is not None}
