"""Which columns each kind shows, as upstream's server-side printing has them.

Source: kubernetes pkg/printers/internalversion/printers.go (1.32).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lab.kube.objects import KubeObject
from lab.localkube.api.autoscaler_columns import AUTOSCALER, OLD_AUTOSCALER
from lab.localkube.api.columns import (
    AGE,
    CREATED,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Column,
    age,
    at,
    field,
    joined,
    number,
)
from lab.localkube.api.metrics import NODE_METRICS, POD_METRICS
from lab.localkube.api.network_columns import NETWORK_COLUMNS
from lab.localkube.api.pod_columns import POD_COLUMNS
from lab.localkube.api.volume_columns import VOLUME_COLUMNS
from lab.localkube.api.workload_columns import WORKLOAD_COLUMNS

GENERIC = (NAME, CREATED)
_OLD_ROLE = "kubernetes.io/role"


def _node_status(obj: KubeObject, _: datetime) -> str:
    states = []
    for condition in at(obj, "status", "conditions", default=()):
        if condition.get("type") == "Ready":
            states.append("Ready" if condition.get("status") == "True" else "NotReady")
    if at(obj, "spec", "unschedulable"):
        states.append("SchedulingDisabled")
    return ",".join(states) or "Unknown"


def _node_roles(obj: KubeObject, _: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = at(obj, "metadata", "labels", default={})
    roles = {key[len(prefix) :] for key in labels if key.startswith(prefix)} | {labels.get(_OLD_ROLE, "")}
    return joined(sorted(roles - {""}))


def _node_info(name: str, key: str) -> Column:
    return Column(name, lambda obj, _: at(obj, "status", "nodeInfo", key) or UNKNOWN, priority=1)


def _node_address(kind: str) -> Any:
    def cell(obj: KubeObject, _: datetime) -> str:
        addresses = at(obj, "status", "addresses", default=())
        return next((str(a["address"]) for a in addresses if a.get("type") == kind), NONE)

    return cell


def _event_object(obj: KubeObject, _: datetime) -> str:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    kind = str(about.get("kind", "")).lower()
    return f"{kind}/{about['name']}" if about.get("name") else kind


def _event_first(obj: KubeObject, now: datetime) -> str:
    return age(obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime"), now)


def _event_last(obj: KubeObject, now: datetime) -> str:
    series = at(obj, "series", "lastObservedTime")
    last = series or obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    return age(last, now) if last else _event_first(obj, now)


def _event_count(obj: KubeObject, _: datetime) -> int:
    return int(at(obj, "series", "count") or obj.get("count") or obj.get("deprecatedCount") or 1)


def _event_source(obj: KubeObject, _: datetime) -> str:
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController")
    instance = source.get("host") or obj.get("reportingInstance")
    return f"{component or ''}, {instance}" if instance else component or ""


def _param_kind(obj: KubeObject, _: datetime) -> str:
    kind = at(obj, "spec", "paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


def _param_reference(obj: KubeObject, _: datetime) -> str:
    reference = at(obj, "spec", "paramRef", default={})
    return f"{reference.get('namespace') or '*'}/{reference['name']}" if reference.get("name") else UNSET


def _binding_role(obj: KubeObject, _: datetime) -> str:
    return f"{at(obj, 'roleRef', 'kind')}/{at(obj, 'roleRef', 'name')}"


def _subjects(kind: str) -> Any:
    def cell(obj: KubeObject, _: datetime) -> str:
        names = []
        for subject in obj.get("subjects") or ():
            if subject.get("kind") == kind:
                account = f"{subject.get('namespace')}/{subject.get('name')}"
                names.append(account if kind == "ServiceAccount" else str(subject.get("name")))
        return ", ".join(names)

    return cell


def _quota(kind: str) -> Any:
    def cell(obj: KubeObject, _: datetime) -> str:
        hard, used = at(obj, "status", "hard", default={}), at(obj, "status", "used", default={})
        limits = {k: v for k, v in hard.items() if k.startswith("limits.") == (kind == "limits")}
        return ", ".join(f"{key}: {used.get(key, 0)}/{value}" for key, value in sorted(limits.items()))

    return cell


def _count(*paths: str) -> Any:
    return lambda obj, _: sum(len(obj.get(path) or ()) for path in paths)


_BINDING = (
    NAME,
    Column("Role", _binding_role),
    AGE,
    Column("Users", _subjects("User"), priority=1),
    Column("Groups", _subjects("Group"), priority=1),
    Column("ServiceAccounts", _subjects("ServiceAccount"), priority=1),
)
_EVENT: Sequence[Column] = (
    Column("Last Seen", _event_last),
    field("Type", "type", default=""),
    field("Reason", "reason", default=""),
    Column("Object", _event_object),
    field("Subobject", "involvedObject", "fieldPath", default="", wide=True),
    Column("Source", _event_source, priority=1),
    Column("Message", lambda obj, _: str(obj.get("message") or obj.get("note") or "").strip()),
    Column("First Seen", _event_first, priority=1),
    Column("Count", _event_count, priority=1),
    Column("Name", NAME.cell, priority=1, format="name"),
)

COLUMNS: Mapping[str, Sequence[Column]] = {
    "pods": POD_COLUMNS,
    **WORKLOAD_COLUMNS,
    **NETWORK_COLUMNS,
    "nodes": (
        NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        field("Version", "status", "nodeInfo", "kubeletVersion", default=""),
        Column("Internal-IP", _node_address("InternalIP"), priority=1),
        Column("External-IP", _node_address("ExternalIP"), priority=1),
        _node_info("OS-Image", "osImage"),
        _node_info("Kernel-Version", "kernelVersion"),
        _node_info("Container-Runtime", "containerRuntimeVersion"),
    ),
    "events": _EVENT,
    "events.events.k8s.io": _EVENT,
    "configmaps": (NAME, Column("Data", _count("data", "binaryData")), AGE),
    "secrets": (NAME, field("Type", "type"), Column("Data", _count("data")), AGE),
    "namespaces": (NAME, field("Status", "status", "phase", default=""), AGE),
    "serviceaccounts": (NAME, Column("Secrets", _count("secrets")), AGE),
    "leases.coordination.k8s.io": (NAME, field("Holder", "spec", "holderIdentity", default=""), AGE),
    **VOLUME_COLUMNS,
    "horizontalpodautoscalers.autoscaling": AUTOSCALER,
    "horizontalpodautoscalers.v1.autoscaling": OLD_AUTOSCALER,
    "nodes.metrics.k8s.io": NODE_METRICS,
    "pods.metrics.k8s.io": POD_METRICS,
    "resourcequotas": (
        NAME,
        Column("Request", _quota("request")),
        Column("Limit", _quota("limits")),
        AGE,
    ),
    "priorityclasses.scheduling.k8s.io": (
        NAME,
        number("Value", "value"),
        Column("Global-Default", lambda obj, _: bool(obj.get("globalDefault")), "boolean"),
        AGE,
        field("PreemptionPolicy", "preemptionPolicy", default=""),
    ),
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "validatingadmissionpolicies.admissionregistration.k8s.io": (
        NAME,
        Column("Validations", lambda obj, _: len(at(obj, "spec", "validations", default=())), "integer"),
        Column("ParamKind", _param_kind),
        AGE,
    ),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (
        NAME,
        field("PolicyName", "spec", "policyName"),
        Column("ParamRef", _param_reference),
        AGE,
    ),
}
"""By `Resource.key`; a kind that is not here shows its name and when it was created."""
