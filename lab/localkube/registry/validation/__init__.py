"""Is an object valid? Every problem at once, as one 422 with a cause per field."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.kube.status import invalid
from lab.localkube.registry.custom.resource import CustomResource
from lab.localkube.registry.validation import (
    autoscaling,
    events,
    ingresses,
    network_policies,
    others,
    pods,
    policies,
    quotas,
    storage,
    workloads,
)
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.metadata import check_metadata, check_metadata_update

Check = Callable[[KubeObject, Causes], None]
UpdateCheck = Callable[[KubeObject, KubeObject, Causes], None]


def _check_definition(obj: KubeObject, causes: Causes) -> None:
    from lab.localkube.registry.custom.checks import check_definition  # read with the first definition

    check_definition(obj, causes)


def _check_definition_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    from lab.localkube.registry.custom.checks import check_definition_update

    check_definition_update(old, new, causes)


_CHECKS: Mapping[str, Check] = {
    "pods": pods.check_pod,
    "services": others.check_service,
    "configmaps": others.check_config_map,
    "leases.coordination.k8s.io": others.check_lease,
    "persistentvolumeclaims": storage.check_claim,
    "persistentvolumes": storage.check_volume,
    "events": events.check_event,
    "events.events.k8s.io": events.check_current_event,
    "podtemplates": workloads.check_pod_template,
    "replicationcontrollers": workloads.check_replication_controller,
    "controllerrevisions.apps": storage.check_revision,
    "secrets": others.check_secret,
    "deployments.apps": workloads.check_deployment,
    "replicasets.apps": workloads.check_replicaset,
    "statefulsets.apps": workloads.check_statefulset,
    "daemonsets.apps": workloads.check_daemonset,
    "jobs.batch": workloads.check_job,
    "cronjobs.batch": workloads.check_cronjob,
    "poddisruptionbudgets.policy": workloads.check_budget,
    "limitranges": quotas.check_limit_range,
    "resourcequotas": quotas.check_quota,
    "horizontalpodautoscalers.autoscaling": autoscaling.check_autoscaler,
    "horizontalpodautoscalers.v1.autoscaling": autoscaling.check_old_autoscaler,
    "roles.rbac.authorization.k8s.io": others.check_role,
    "clusterroles.rbac.authorization.k8s.io": others.check_role,
    "rolebindings.rbac.authorization.k8s.io": others.check_role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": others.check_role_binding,
    "endpointslices.discovery.k8s.io": others.check_endpoint_slice,
    "ingresses.networking.k8s.io": ingresses.check_ingress,
    "ingressclasses.networking.k8s.io": ingresses.check_ingress_class,
    "networkpolicies.networking.k8s.io": network_policies.check_network_policy,
    "customresourcedefinitions.apiextensions.k8s.io": _check_definition,
    "validatingadmissionpolicies.admissionregistration.k8s.io": policies.check_policy,
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": policies.check_policy_binding,
}
_NEW_CHECKS: Mapping[str, Check] = {
    "ingresses.networking.k8s.io": ingresses.check_new_ingress,
    "pods": pods.check_new_pod,
    "events.events.k8s.io": events.check_new_event,
}
"""Of what is created only."""

_UPDATE_CHECKS: Mapping[str, tuple[UpdateCheck, ...]] = {
    "pods": (pods.check_pod_update,),
    "services": (others.check_service_update,),
    "configmaps": (others.check_config_update,),
    "secrets": (others.check_config_update,),
    "deployments.apps": (workloads.check_selector_kept,),
    "replicasets.apps": (workloads.check_selector_kept,),
    "daemonsets.apps": (workloads.check_selector_kept,),
    "statefulsets.apps": (workloads.check_statefulset_update,),
    "jobs.batch": (workloads.check_job_update,),
    "controllerrevisions.apps": (storage.check_revision_update,),
    "events.events.k8s.io": (events.check_event_update,),
    "ingressclasses.networking.k8s.io": (ingresses.check_ingress_class_update,),
    "customresourcedefinitions.apiextensions.k8s.io": (_check_definition_update,),
    "rolebindings.rbac.authorization.k8s.io": (others.check_role_binding_update,),
    "clusterrolebindings.rbac.authorization.k8s.io": (others.check_role_binding_update,),
    "resourcequotas": (quotas.check_quota_update,),
    "priorityclasses.scheduling.k8s.io": (others.check_priority_class_update,),
}


def validate(resource: Resource, obj: KubeObject, old: KubeObject | None = None) -> None:
    """Refuse an invalid object, and a change of what cannot change: all at once. Raises StatusError 422.

    old: the object that is replaced. What was invalid in one of a custom resource may stay as it is.
    """
    causes = Causes()
    check_metadata(resource, obj["metadata"], causes)
    check = _CHECKS.get(resource.key)
    if check is not None:
        check(obj, causes)
    if old is None and resource.key in _NEW_CHECKS:
        _NEW_CHECKS[resource.key](obj, causes)
    if isinstance(resource, CustomResource):
        from lab.localkube.registry.custom.judging import check_custom  # read with the first object

        check_custom(resource, obj, old, causes)
    if old is not None:
        check_metadata_update(old["metadata"], obj["metadata"], causes)
        for check_change in _UPDATE_CHECKS.get(resource.key, ()):
            check_change(old, obj, causes)
    _report(resource, obj, causes)


def validate_update(resource: Resource, old: KubeObject, new: KubeObject) -> None:
    """Refuse a change of what cannot change. Raises StatusError 422."""
    causes = Causes()
    check_metadata_update(old["metadata"], new["metadata"], causes)
    for check in _UPDATE_CHECKS.get(resource.key, ()):
        check(old, new, causes)
    _report(resource, new, causes)


def _report(resource: Resource, obj: KubeObject, causes: Causes) -> None:
    if causes.found:
        group = "" if resource.plural == "events" else resource.group  # they are judged as the core group's
        raise invalid(resource.kind, group, obj["metadata"].get("name", ""), causes.found)
