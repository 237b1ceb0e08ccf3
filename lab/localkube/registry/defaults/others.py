"""Defaults of everything that is not a workload.

Source: k8s.io/kubernetes/pkg/apis/{core,discovery,networking,rbac}/*/defaults.go and the registry strategies.
"""

from __future__ import annotations

import base64

from lab.kube.objects import KubeObject

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
_RBAC = "rbac.authorization.k8s.io"


def default_service(obj: KubeObject) -> None:
    """ClusterIP, no affinity, target port = port. The address comes from the allocator."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    else:
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", 10_800)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port")


def default_secret(obj: KubeObject) -> None:
    """Opaque; stringData folded into data."""
    obj.setdefault("type", "Opaque")
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(str(value).encode()).decode()


def default_namespace(obj: KubeObject) -> None:
    """The label with its name."""
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})[NAMESPACE_LABEL] = name


def default_claim(obj: KubeObject) -> None:
    """A file system, pending."""
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def default_volume(obj: KubeObject) -> None:
    """A file system, retained."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")


def default_endpoints(obj: KubeObject) -> None:
    """TCP ports."""
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")


def default_endpoint_slice(obj: KubeObject) -> None:
    """TCP ports without a name."""
    for port in obj.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("name", "")


def default_binding(obj: KubeObject) -> None:
    """The API groups of a role reference and of its subjects."""
    if obj.get("roleRef") is not None and not obj["roleRef"].get("apiGroup"):
        obj["roleRef"]["apiGroup"] = _RBAC
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", _RBAC)


def default_network_policy(obj: KubeObject) -> None:
    """Ingress, and egress when there are egress rules."""
    spec = obj.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or ():
            port.setdefault("protocol", "TCP")


def default_storage_class(obj: KubeObject) -> None:
    """Deleted with its claim, bound at once."""
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def default_priority_class(obj: KubeObject) -> None:
    """Preempts lower priorities."""
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def default_node(obj: KubeObject) -> None:
    """A node has a spec, and what it can allocate is its capacity."""
    obj.setdefault("spec", {})
    status = obj.get("status") or {}
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])
