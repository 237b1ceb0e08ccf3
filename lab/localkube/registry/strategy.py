"""How each resource treats generation, status and updates without a resource version.

Source: the `strategy.go` of each registry in k8s.io/kubernetes/pkg/registry.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.localkube.registry.custom.definitions import begin_status, carry_status
from lab.localkube.registry.custom.objects import begin_custom, carry_custom, take_custom_status
from lab.localkube.registry.custom.resource import CustomResource
from lab.localkube.registry.custom.table import DEFINITIONS_KEY
from lab.localkube.registry.decoding import blank, thaw

_GENERATION = frozenset(
    {
        "replicationcontrollers",
        "deployments.apps",
        "replicasets.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "jobs.batch",
        "cronjobs.batch",
        "poddisruptionbudgets.policy",
        "ingresses.networking.k8s.io",
        "ingressclasses.networking.k8s.io",
        "networkpolicies.networking.k8s.io",
        "endpointslices.discovery.k8s.io",
        "priorityclasses.scheduling.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        DEFINITIONS_KEY,
    }
)
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""The annotation in which a DaemonSet counts the changes of its template."""
_NEEDS_VERSION_ON_UPDATE = frozenset(
    {
        "leases.coordination.k8s.io",
        "poddisruptionbudgets.policy",
        "priorityclasses.scheduling.k8s.io",
        "endpointslices.discovery.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        DEFINITIONS_KEY,
    }
)
_CREATED_BY_PUT = frozenset(
    {
        "leases.coordination.k8s.io",
        "endpoints",
        "events",
        "limitranges",
        "services",
        *(
            f"{plural}.rbac.authorization.k8s.io"
            for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
        ),
    }
)
_PENDING = frozenset({"pods", "persistentvolumes", "persistentvolumeclaims"})
"""What begins in the phase Pending; all other status is blank at first."""


def has_status(resource: Resource) -> bool:
    """Does the resource have a status subresource?"""
    return "status" in resource.subresources


def needs_version_on_update(resource: Resource) -> bool:
    """Must an update name the resource version that it replaces?"""
    return resource.key in _NEEDS_VERSION_ON_UPDATE or isinstance(resource, CustomResource)


def may_be_put(resource: Resource) -> bool:
    """Does a PUT of an absent object create it?"""
    return resource.key in _CREATED_BY_PUT


def begin(resource: Resource, obj: KubeObject) -> None:
    """Generation and status of a new object, in place: nobody creates one that is already working."""
    if isinstance(resource, CustomResource):
        begin_custom(resource, obj)
        return
    if resource.key in _GENERATION:
        obj["metadata"]["generation"] = 1
    if resource.key == "daemonsets.apps":
        _count_templates(obj, 1)
    if resource.key == "namespaces":
        obj["status"] = {"phase": "Active"}
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if "kubernetes" not in finalizers:  # which keeps it until it is empty
            finalizers.append("kubernetes")
    elif has_status(resource) and resource.key != "nodes":
        nothing = blank(resource.group, resource.version, resource.kind).get("status") or {}
        obj["status"] = thaw(nothing) | ({"phase": "Pending"} if resource.key in _PENDING else {})
    if resource.key == DEFINITIONS_KEY:
        begin_status(obj)


def carry_over(resource: Resource, old: KubeObject, new: KubeObject) -> None:
    """Status and generation of an updated object, in place: the main resource cannot write status."""
    if isinstance(resource, CustomResource):
        carry_custom(resource, old, new)
        return
    if has_status(resource):
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    if resource.key == DEFINITIONS_KEY:
        carry_status(old, new)
    if resource.key == "namespaces" and "spec" in old:
        new["spec"] = old["spec"]  # its finalizers are written through /finalize
    if resource.key == "daemonsets.apps":
        count = (old["metadata"].get("annotations") or {}).get(_TEMPLATE_GENERATION, "0")
        changed = old["spec"].get("template") != new["spec"].get("template")
        _count_templates(new, int(count) + changed)
    if resource.key in _GENERATION:
        generation = int(old["metadata"].get("generation") or 0)
        new["metadata"]["generation"] = generation + 1 if _changed(resource, old, new) else generation


def _count_templates(obj: KubeObject, generation: int) -> None:
    annotations = dict(obj["metadata"].get("annotations") or {})
    obj["metadata"]["annotations"] = annotations | {_TEMPLATE_GENERATION: str(generation)}


def _changed(resource: Resource, old: KubeObject, new: KubeObject) -> bool:
    if _desired(old) != _desired(new):
        return True
    return resource.key == "deployments.apps" and (
        (old["metadata"].get("annotations") or {}) != (new["metadata"].get("annotations") or {})
    )


def _desired(obj: KubeObject) -> KubeObject:
    return {k: v for k, v in obj.items() if k not in ("metadata", "status", "apiVersion", "kind")}


def take_status(resource: Resource, old: KubeObject, new: KubeObject) -> KubeObject:
    """The result of a write to /status: the old object with the new one's status.

    Annotations and labels may be written with it, but for a Deployment's labels, as upstream has it.
    """
    if isinstance(resource, CustomResource):
        return take_custom_status(old, new)
    result = dict(old)
    result["metadata"] = dict(old["metadata"])
    result.pop("status", None)
    if "status" in new:
        result["status"] = new["status"]
    _complete_status(resource, old, result)
    writable = ("annotations",) if resource.key == "deployments.apps" else ("annotations", "labels")
    for field in (*writable, "managedFields"):
        result["metadata"].pop(field, None)
        if new["metadata"].get(field):
            result["metadata"][field] = new["metadata"][field]
    return result


def _complete_status(resource: Resource, old: KubeObject, new: KubeObject) -> None:
    """What a status has even when its writer leaves it out."""
    status = new.get("status")
    if status is None:
        return
    if resource.key in _PENDING and resource.key != "pods":
        status.setdefault("phase", "Pending")
    elif resource.key == "namespaces":
        status.setdefault("phase", "Active")
    elif resource.key == "pods" and not status.get("qosClass"):
        kept = (old.get("status") or {}).get("qosClass")
        if kept:
            status["qosClass"] = kept
