"""Which columns each kind shows, as upstream's server-side printing has them.

Source: kubernetes pkg/printers/internalversion/printers.go (1.32).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lab.core.clock import parse_rfc3339
from lab.kube.objects import KubeObject, controller_of
from lab.localkube.api.autoscaler_columns import AUTOSCALER, OLD_AUTOSCALER
from lab.localkube.api.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Column,
    age,
    at,
    container_columns,
    field,
    human_duration,
    joined,
    label_selector_column,
    labels_text,
    number,
    selector_text,
)
from lab.localkube.api.metrics import NODE_METRICS, POD_METRICS
from lab.localkube.api.pod_columns import POD_COLUMNS
from lab.localkube.api.volume_columns import VOLUME_COLUMNS

GENERIC = (NAME, AGE)
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


def _ready_of(obj: KubeObject, _: datetime) -> str:
    ready, wanted = at(obj, "status", "readyReplicas", default=0), at(obj, "spec", "replicas", default=0)
    return f"{ready}/{wanted}"


def _service_ports(obj: KubeObject, _: datetime) -> str:
    texts: list[str] = []
    for port in at(obj, "spec", "ports", default=()) or ():
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        texts.append(f"{port.get('port')}{node}/{port.get('protocol', 'TCP')}")
    return joined(texts)


def _external_ip(obj: KubeObject, _: datetime) -> str:
    spec = at(obj, "spec", default={})
    external = list(spec.get("externalIPs") or ())
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or NONE)
    if spec.get("type") == "LoadBalancer":
        ingress = at(obj, "status", "loadBalancer", "ingress", default=()) or ()
        external = [i.get("ip") or i.get("hostname") for i in ingress] + external
        return joined(external) if external else "<pending>"
    return joined(external)


def _endpoints(obj: KubeObject, _: datetime) -> str:
    texts: list[str] = []
    for subset in obj.get("subsets") or ():
        addresses = [a.get("ip", "") for a in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        texts += [f"{a}:{p.get('port')}" for p in ports for a in addresses] if ports else addresses
    return joined(texts, 3)


def _slice_ports(obj: KubeObject, _: datetime) -> str:
    ports = obj.get("ports")
    if not ports:
        return UNSET
    return joined([port.get("port") or "*" for port in ports], 3)


def _slice_addresses(obj: KubeObject, _: datetime) -> str:
    endpoints = obj.get("endpoints") or ()
    addresses = [address for endpoint in endpoints for address in endpoint.get("addresses") or ()]
    return joined(addresses, 3) if addresses else UNSET


def _job_status(obj: KubeObject, _: datetime) -> str:
    true = {c["type"] for c in at(obj, "status", "conditions", default=()) if c.get("status") == "True"}
    for condition, text in (
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if condition in true:
            return text
    return "Terminating" if at(obj, "metadata", "deletionTimestamp") else "Running"


def _job_completions(obj: KubeObject, _: datetime) -> str:
    done, wanted = at(obj, "status", "succeeded", default=0), at(obj, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallelism = at(obj, "spec", "parallelism", default=0)
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _job_duration(obj: KubeObject, now: datetime) -> str:
    start, end = at(obj, "status", "startTime"), at(obj, "status", "completionTime")
    if not start:
        return ""
    until = parse_rfc3339(end) if end else now
    return human_duration((until - parse_rfc3339(start)).total_seconds())


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
    return joined(sorted(key[len(prefix) :] for key in labels if key.startswith(prefix)))


def _node_address(kind: str) -> Any:
    def cell(obj: KubeObject, _: datetime) -> str:
        addresses = at(obj, "status", "addresses", default=())
        return next((str(a["address"]) for a in addresses if a.get("type") == kind), NONE)

    return cell


def _event_object(obj: KubeObject, _: datetime) -> str:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _event_seen(*names: str) -> Any:
    def cell(obj: KubeObject, now: datetime) -> str:
        seen = next((obj[name] for name in names if obj.get(name)), None)
        return age(seen or obj.get("eventTime"), now)

    return cell


def _event_source(obj: KubeObject, _: datetime) -> str:
    source = obj.get("source") or {}
    parts = [source.get("component") or obj.get("reportingComponent") or "", source.get("host") or ""]
    return ", ".join(part for part in parts if part)


def _param_kind(obj: KubeObject, _: datetime) -> str:
    kind = at(obj, "spec", "paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


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


def _revision_owner(obj: KubeObject, _: datetime) -> str:
    owner = controller_of(obj)
    return (
        f"{str(owner['kind']).lower()}.{str(owner['apiVersion']).split('/')[0]}/{owner['name']}"
        if owner
        else NONE
    )


def _ingress_hosts(obj: KubeObject, _: datetime) -> str:
    hosts = [rule.get("host") for rule in at(obj, "spec", "rules", default=()) or () if rule.get("host")]
    return joined(hosts, 3) if hosts else "*"


def _ingress_address(obj: KubeObject, _: datetime) -> str:
    ingress = at(obj, "status", "loadBalancer", "ingress", default=()) or ()
    text = ",".join(sorted({str(i.get("ip") or i.get("hostname")) for i in ingress}))
    return text if len(text) <= 16 else f"{text[:13]}..."


def _ingress_class_name(obj: KubeObject, _: datetime) -> str:
    chosen = at(obj, "metadata", "annotations", default={}).get(DEFAULT_CLASS) == "true"
    return f"{at(obj, 'metadata', 'name')} (default)" if chosen else str(at(obj, "metadata", "name"))


def _ingress_class_parameters(obj: KubeObject, _: datetime) -> str:
    parameters = at(obj, "spec", "parameters")
    if not parameters:
        return NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"


def _quota(kind: str) -> Any:
    def cell(obj: KubeObject, _: datetime) -> str:
        hard, used = at(obj, "status", "hard", default={}), at(obj, "status", "used", default={})
        limits = {k: v for k, v in hard.items() if k.startswith("limits.") == (kind == "limits")}
        return ", ".join(f"{key}: {used.get(key, 0)}/{value}" for key, value in sorted(limits.items()))

    return cell


def _count(*paths: str) -> Any:
    return lambda obj, _: str(sum(len(obj.get(path) or ()) for path in paths))


def _bool(obj: KubeObject, *path: str) -> str:
    return "True" if at(obj, *path) else "False"


def _int_or(obj: KubeObject, *path: str) -> str:
    return str(at(obj, *path, default="N/A"))


_BINDING = (
    NAME,
    Column("Role", _binding_role),
    AGE,
    Column("Users", _subjects("User"), priority=1),
    Column("Groups", _subjects("Group"), priority=1),
    Column("ServiceAccounts", _subjects("ServiceAccount"), priority=1),
)
_ROLE = (NAME, Column("Created At", lambda obj, _: at(obj, "metadata", "creationTimestamp"), type="date"))
_REPLICAS = (
    NAME,
    number("Desired", "spec", "replicas"),
    number("Current", "status", "replicas"),
    number("Ready", "status", "readyReplicas"),
    AGE,
    *container_columns("spec", "template"),
)
_EVENT = (
    Column("Last Seen", _event_seen("lastTimestamp", "deprecatedLastTimestamp")),
    field("Type", "type", default=""),
    field("Reason", "reason", default=""),
    Column("Object", _event_object),
    field("Subobject", "involvedObject", "fieldPath", default="", wide=True),
    Column("Source", _event_source, priority=1),
    Column("Message", lambda obj, _: str(obj.get("message") or obj.get("note") or "").strip()),
    Column("First Seen", _event_seen("firstTimestamp", "deprecatedFirstTimestamp"), priority=1),
    Column("Count", lambda obj, _: obj.get("count") or obj.get("deprecatedCount") or 1, "integer", 1),
    Column("Name", NAME.cell, priority=1, format="name"),
)

COLUMNS: Mapping[str, Sequence[Column]] = {
    "customresourcedefinitions.apiextensions.k8s.io": (
        NAME,
        field("Created At", "metadata", "creationTimestamp", type="date"),
    ),
    "pods": POD_COLUMNS,
    "deployments.apps": (
        NAME,
        Column("Ready", _ready_of),
        number("Up-to-date", "status", "updatedReplicas"),
        number("Available", "status", "availableReplicas"),
        AGE,
        *container_columns("spec", "template"),
        label_selector_column(),
    ),
    "replicasets.apps": (*_REPLICAS, label_selector_column()),
    "replicationcontrollers": (
        *_REPLICAS,
        Column("Selector", lambda obj, _: labels_text(at(obj, "spec", "selector")), priority=1),
    ),
    "statefulsets.apps": (NAME, Column("Ready", _ready_of), AGE, *container_columns("spec", "template")),
    "daemonsets.apps": (
        NAME,
        number("Desired", "status", "desiredNumberScheduled"),
        number("Current", "status", "currentNumberScheduled"),
        number("Ready", "status", "numberReady"),
        number("Up-to-date", "status", "updatedNumberScheduled"),
        number("Available", "status", "numberAvailable"),
        Column(
            "Node Selector", lambda obj, _: labels_text(at(obj, "spec", "template", "spec", "nodeSelector"))
        ),
        AGE,
        *container_columns("spec", "template"),
        label_selector_column(),
    ),
    "services": (
        NAME,
        field("Type", "spec", "type"),
        field("Cluster-IP", "spec", "clusterIP"),
        Column("External-IP", _external_ip),
        Column("Port(s)", _service_ports),
        AGE,
        Column("Selector", lambda obj, _: labels_text(at(obj, "spec", "selector")), priority=1),
    ),
    "endpoints": (NAME, Column("Endpoints", _endpoints), AGE),
    "endpointslices.discovery.k8s.io": (
        NAME,
        field("AddressType", "addressType"),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_addresses),
        AGE,
    ),
    "jobs.batch": (
        NAME,
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        AGE,
        *container_columns("spec", "template"),
        label_selector_column(),
    ),
    "cronjobs.batch": (
        NAME,
        field("Schedule", "spec", "schedule"),
        field("Timezone", "spec", "timeZone"),
        Column("Suspend", lambda obj, _: _bool(obj, "spec", "suspend")),
        Column("Active", lambda obj, _: len(at(obj, "status", "active", default=())), "integer"),
        Column(
            "Last Schedule",
            lambda obj, now: (
                age(at(obj, "status", "lastScheduleTime"), now)
                if at(obj, "status", "lastScheduleTime")
                else NONE
            ),
        ),
        AGE,
        *container_columns("spec", "jobTemplate", "spec", "template"),
    ),
    "nodes": (
        NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        AGE,
        field("Version", "status", "nodeInfo", "kubeletVersion", default=""),
        Column("Internal-IP", _node_address("InternalIP"), priority=1),
        Column("External-IP", _node_address("ExternalIP"), priority=1),
        field("OS-Image", "status", "nodeInfo", "osImage", default=UNKNOWN, wide=True),
        field("Kernel-Version", "status", "nodeInfo", "kernelVersion", default=UNKNOWN, wide=True),
        field(
            "Container-Runtime", "status", "nodeInfo", "containerRuntimeVersion", default=UNKNOWN, wide=True
        ),
    ),
    "events": _EVENT,
    "events.events.k8s.io": _EVENT,
    "configmaps": (NAME, Column("Data", _count("data", "binaryData")), AGE),
    "secrets": (NAME, field("Type", "type"), Column("Data", _count("data")), AGE),
    "namespaces": (NAME, field("Status", "status", "phase", default=""), AGE),
    "serviceaccounts": (NAME, Column("Secrets", _count("secrets")), AGE),
    "poddisruptionbudgets.policy": (
        NAME,
        Column("Min Available", lambda obj, _: _int_or(obj, "spec", "minAvailable")),
        Column("Max Unavailable", lambda obj, _: _int_or(obj, "spec", "maxUnavailable")),
        number("Allowed Disruptions", "status", "disruptionsAllowed"),
        AGE,
    ),
    "leases.coordination.k8s.io": (NAME, field("Holder", "spec", "holderIdentity", default=""), AGE),
    **VOLUME_COLUMNS,
    "horizontalpodautoscalers.autoscaling": AUTOSCALER,
    "horizontalpodautoscalers.v1.autoscaling": OLD_AUTOSCALER,
    "ingresses.networking.k8s.io": (
        NAME,
        field("Class", "spec", "ingressClassName"),
        Column("Hosts", _ingress_hosts),
        Column("Address", _ingress_address),
        Column("Ports", lambda obj, _: "80, 443" if at(obj, "spec", "tls") else "80"),
        AGE,
    ),
    "ingressclasses.networking.k8s.io": (
        Column("Name", _ingress_class_name, format="name"),
        field("Controller", "spec", "controller", default=""),
        Column("Parameters", _ingress_class_parameters),
        AGE,
    ),
    "nodes.metrics.k8s.io": NODE_METRICS,
    "pods.metrics.k8s.io": POD_METRICS,
    "networkpolicies.networking.k8s.io": (
        NAME,
        Column("Pod-Selector", lambda obj, _: selector_text(at(obj, "spec", "podSelector"))),
        AGE,
    ),
    "resourcequotas": (
        NAME,
        Column("Request", _quota("request")),
        Column("Limit", _quota("limits")),
        AGE,
    ),
    "controllerrevisions.apps": (
        NAME,
        Column("Controller", _revision_owner),
        number("Revision", "revision"),
        AGE,
    ),
    "priorityclasses.scheduling.k8s.io": (
        NAME,
        number("Value", "value"),
        Column("Global-Default", lambda obj, _: "true" if obj.get("globalDefault") else "false"),
        AGE,
    ),
    "roles.rbac.authorization.k8s.io": _ROLE,
    "clusterroles.rbac.authorization.k8s.io": _ROLE,
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
        field("ParamRef", "spec", "paramRef", "name", default=UNSET),
        AGE,
    ),
}
"""By `Resource.key`; a kind that is not here shows name and age."""
