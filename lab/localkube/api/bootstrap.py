"""What every cluster starts with: the system roles and bindings, the kubernetes Service.

Source: kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy, for the groups that are served here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.api.identity import AUTHENTICATED, MASTERS, UNAUTHENTICATED
from lab.localkube.api.rbac import GROUP
from lab.localkube.protocols import Registry

READ = ("get", "list", "watch")
WRITE = ("create", "delete", "deletecollection", "patch", "update")
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}

_HEALTH_URLS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY_URLS = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *_HEALTH_URLS)

_WORKLOADS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "",
        (
            "configmaps",
            "endpoints",
            "events",
            "persistentvolumeclaims",
            "pods",
            "pods/log",
            "pods/status",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "serviceaccounts",
            "services",
            "limitranges",
            "resourcequotas",
        ),
    ),
    (
        "apps",
        (
            "controllerrevisions",
            "daemonsets",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ),
    ),
    ("autoscaling", ("horizontalpodautoscalers",)),
    ("batch", ("cronjobs", "jobs", "jobs/status")),
    ("discovery.k8s.io", ("endpointslices",)),
    ("networking.k8s.io", ("ingresses", "networkpolicies")),
    ("policy", ("poddisruptionbudgets",)),
)


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def _urls(urls: Sequence[str]) -> dict[str, Any]:
    return {"nonResourceURLs": list(urls), "verbs": ["get"]}


def _view() -> list[dict[str, Any]]:
    return [
        *(_rule(group, resources, READ) for group, resources in _WORKLOADS),
        _rule("", ("namespaces",), READ),
        _rule("metrics.k8s.io", ("nodes", "pods"), READ),
    ]


def _edit() -> list[dict[str, Any]]:
    writable = ("limitranges", "resourcequotas", "endpointslices", "controllerrevisions")
    rules = [
        _rule(group, [r for r in resources if "/status" not in r and r not in (*writable, "pods/log")], WRITE)
        for group, resources in _WORKLOADS
        if group != "discovery.k8s.io"
    ]
    return [
        *rules,
        _rule("", ("secrets",), READ + WRITE),
        _rule(
            "", ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy"), READ + WRITE
        ),
        _rule("", ("pods/eviction", "serviceaccounts/token"), ("create",)),
        _rule("", ("serviceaccounts",), ("impersonate",)),
        _rule("coordination.k8s.io", ("leases",), READ + WRITE),
    ]


def _admin() -> list[dict[str, Any]]:
    return [
        _rule(GROUP, ("roles", "rolebindings"), READ + WRITE),
        _rule("authorization.k8s.io", ("localsubjectaccessreviews",), ("create",)),
    ]


def _roles() -> dict[str, list[dict[str, Any]]]:
    everything = _rule("*", ("*",), ("*",))
    reviews = ("selfsubjectaccessreviews", "selfsubjectrulesreviews")
    return {
        "cluster-admin": [everything, {"nonResourceURLs": ["*"], "verbs": ["*"]}],
        "system:aggregate-to-admin": _admin(),
        "system:aggregate-to-edit": _edit(),
        "system:aggregate-to-view": _view(),
        "view": _view(),
        "edit": _edit() + _view(),
        "admin": _edit() + _view() + _admin(),
        "system:basic-user": [
            _rule("authorization.k8s.io", reviews, ("create",)),
            _rule("authentication.k8s.io", ("selfsubjectreviews",), ("create",)),
        ],
        "system:discovery": [_urls(_DISCOVERY_URLS)],
        "system:public-info-viewer": [_urls(_HEALTH_URLS)],
        "system:auth-delegator": [
            _rule("authentication.k8s.io", ("tokenreviews",), ("create",)),
            _rule("authorization.k8s.io", ("subjectaccessreviews",), ("create",)),
        ],
    }


_AGGREGATED = ("view", "edit", "admin")
"""Roles whose rules are those of all roles with a label; each has those of the one before."""


def _aggregate_label(name: str) -> dict[str, str]:
    return {f"{GROUP}/aggregate-to-{name}": "true"}


def _cluster_role(name: str, rules: list[dict[str, Any]]) -> KubeObject:
    labels = dict(_LABELS)
    if name.startswith("system:aggregate-to-"):
        labels |= _aggregate_label(name.removeprefix("system:aggregate-to-"))
    role: KubeObject = {"metadata": {"name": name, "labels": labels}, "rules": rules}
    if name in _AGGREGATED:
        labels |= next(map(_aggregate_label, _AGGREGATED[_AGGREGATED.index(name) + 1 :]), {})
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": _aggregate_label(name)}]}
    return role


_BINDINGS = {
    "cluster-admin": (MASTERS,),
    "system:basic-user": (AUTHENTICATED,),
    "system:discovery": (AUTHENTICATED,),
    "system:public-info-viewer": (AUTHENTICATED, UNAUTHENTICATED),
}


def bootstrap(registry: Registry) -> None:
    """Create what is missing. Idempotent; what a user changed stays changed."""
    for name in NAMESPACES:
        _ensure(registry, "namespaces", "", {"metadata": {"name": name}})
    for name, rules in _roles().items():
        _ensure(registry, "clusterroles", "", _cluster_role(name, rules))
    for name, groups in _BINDINGS.items():
        binding = {
            "metadata": {"name": name, "labels": dict(_LABELS)},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group} for group in groups],
        }
        _ensure(registry, "clusterrolebindings", "", binding)


def publish_kubernetes_service(registry: Registry, cluster_ip: str, host: str, port: int) -> None:
    """The Service default/kubernetes with its Endpoints and EndpointSlice, leading to this server."""
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    service = {
        "metadata": {"name": "kubernetes", "labels": labels},
        "spec": {"clusterIP": cluster_ip, "ports": ports, "type": "ClusterIP"},
    }
    if not cluster_ip:
        service["spec"].pop("clusterIP")  # type: ignore[attr-defined]
    _ensure(registry, "services", "default", service)
    mirrored = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    endpoint_ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    endpoints = {
        "metadata": {"name": "kubernetes", "labels": mirrored},
        "subsets": [{"addresses": [{"ip": host}], "ports": endpoint_ports}],
    }
    _ensure(registry, "endpoints", "default", endpoints)
    endpoint_slice = {
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
        "ports": endpoint_ports,
    }
    _ensure(registry, "endpointslices", "default", endpoint_slice)


def _ensure(registry: Registry, plural: str, namespace: str, obj: KubeObject) -> None:
    resource = builtin(plural)
    try:
        registry.get(resource, namespace, obj["metadata"]["name"])
    except StatusError:
        registry.create(
            resource, namespace, {"apiVersion": resource.api_version, "kind": resource.kind} | obj
        )
