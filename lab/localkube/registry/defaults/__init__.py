"""What a kind's object gets when it is written without it: a table of functions by resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.kube.objects import KubeObject
from lab.localkube.registry.custom.definitions import set_definition_defaults
from lab.localkube.registry.defaults import autoscaling, others, pods, policies, quotas, workloads

Default = Callable[[KubeObject], None]


def _pod_template(obj: KubeObject) -> None:
    pods.default_pod_spec(obj.setdefault("template", {}).setdefault("spec", {}))


_DEFAULTS: Mapping[str, Default] = {
    "pods": pods.default_pod,
    "podtemplates": _pod_template,
    "services": others.default_service,
    "secrets": others.default_secret,
    "namespaces": others.default_namespace,
    "nodes": others.default_node,
    "endpoints": others.default_endpoints,
    "persistentvolumeclaims": others.default_claim,
    "persistentvolumes": others.default_volume,
    "replicationcontrollers": workloads.default_replication_controller,
    "deployments.apps": workloads.default_deployment,
    "replicasets.apps": workloads.default_replicaset,
    "statefulsets.apps": workloads.default_statefulset,
    "daemonsets.apps": workloads.default_daemonset,
    "jobs.batch": workloads.default_job,
    "cronjobs.batch": workloads.default_cronjob,
    "limitranges": quotas.default_limit_range,
    "resourcequotas": quotas.default_quota,
    "horizontalpodautoscalers.autoscaling": autoscaling.default_autoscaler,
    "horizontalpodautoscalers.v1.autoscaling": autoscaling.default_old_autoscaler,
    "endpointslices.discovery.k8s.io": others.default_endpoint_slice,
    "networkpolicies.networking.k8s.io": others.default_network_policy,
    "rolebindings.rbac.authorization.k8s.io": others.default_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": others.default_binding,
    "storageclasses.storage.k8s.io": others.default_storage_class,
    "priorityclasses.scheduling.k8s.io": others.default_priority_class,
    "customresourcedefinitions.apiextensions.k8s.io": set_definition_defaults,
    "validatingadmissionpolicies.admissionregistration.k8s.io": policies.default_policy,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": policies.default_policy_binding,
}


def apply_defaults(resource_key: str, obj: KubeObject) -> None:
    """Fill an object in place; a kind without defaults is left alone."""
    default = _DEFAULTS.get(resource_key)
    if default is not None:
        default(obj)
