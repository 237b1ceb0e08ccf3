"""What admission fills in, in every cluster: ServiceAccount, Priority, DefaultTolerationSeconds, LimitRanger,
DefaultIngressClass.

Source: k8s.io/kubernetes/plugin/pkg/admission/{serviceaccount,priority,defaulttolerationseconds,network}.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource, builtin
from lab.kube.status import forbidden
from lab.localkube.registry.core import Core
from lab.localkube.registry.defaults.pods import (
    default_by_admission,
    default_tolerations,
    mount_service_account,
    quality_of_service,
)
from lab.localkube.registry.limit_ranges import apply_limit_defaults
from lab.localkube.registry.names import generate_name
from lab.localkube.registry.served import PODS
from lab.localkube.registry.validation.ingresses import CLASS_ANNOTATION

_ACCOUNTS = builtin("ServiceAccount")
_PRIORITIES = builtin("PriorityClass")
_INGRESSES = builtin("Ingress")
_INGRESS_CLASSES = builtin("IngressClass")
_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def admit(core: Core, resource: Resource, obj: KubeObject) -> None:
    """Complete a new object as admission does, in place. Raises StatusError 403."""
    if resource.key == _INGRESSES.key:
        _ingress_class(core, obj)
    if resource.key != PODS.key:
        return
    default_by_admission(obj["spec"])
    default_tolerations(obj["spec"], core.toleration_seconds)
    _priority(core, obj)
    _service_account(core, obj)
    apply_limit_defaults(core, obj)
    if (obj.get("spec") or {}).get("containers"):
        try:
            obj["status"]["qosClass"] = quality_of_service(obj["spec"])
        except ValueError:
            return  # an unreadable quantity: validation reports it


def admit_update(core: Core, resource: Resource, obj: KubeObject) -> None:
    """Complete a changed object as admission does, in place."""
    if resource.key == PODS.key:
        default_by_admission(obj["spec"])
        default_tolerations(obj["spec"], core.toleration_seconds)


def _ingress_class(core: Core, ingress: KubeObject) -> None:
    """An ingress without a class gets the default one; of several, the newest."""
    annotations = ingress["metadata"].get("annotations") or {}
    spec = ingress.setdefault("spec", {})
    if spec.get("ingressClassName") is not None or CLASS_ANNOTATION in annotations:
        return
    classes = core.store.values(_INGRESS_CLASSES.key)
    marked = [c for c in classes if (c["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"]
    if marked:
        marked.sort(key=lambda c: c["metadata"]["name"])
        marked.sort(key=lambda c: c["metadata"]["creationTimestamp"], reverse=True)
        spec["ingressClassName"] = marked[0]["metadata"]["name"]


def _priority(core: Core, pod: KubeObject) -> None:
    name = pod["spec"].get("priorityClassName")
    if not name:
        return
    found = core.find(_PRIORITIES, "", name)
    if found is None and name not in _SYSTEM_PRIORITIES:
        raise forbidden("pods", "", pod["metadata"]["name"], f"no PriorityClass with name {name} was found")
    pod["spec"]["priority"] = found["value"] if found else _SYSTEM_PRIORITIES[name]
    if found:
        pod["spec"]["preemptionPolicy"] = found.get("preemptionPolicy", "PreemptLowerPriority")


def _service_account(core: Core, pod: KubeObject) -> None:
    """Mount the account's token. `default` may be missing: its controller is about to make it."""
    namespace, name = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
    account = core.find(_ACCOUNTS, namespace, name)
    if account is None and name != "default":
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise forbidden("pods", "", pod["metadata"]["name"], why)
    wanted = pod["spec"].get("automountServiceAccountToken")
    if wanted is None and account is not None:
        wanted = account.get("automountServiceAccountToken")
    if wanted is not False:
        mount_service_account(pod, generate_name("", core.chance))
