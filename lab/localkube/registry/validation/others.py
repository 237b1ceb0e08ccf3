"""Services, configuration, access rules.

Source: k8s.io/kubernetes/pkg/apis/{core,rbac}/validation/validation.go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection

from lab.kube.objects import KubeObject
from lab.localkube.registry.names import CONFIG_KEY, CONFIG_KEY_MESSAGE, label_problem, subdomain_problem
from lab.localkube.registry.validation.causes import Causes
from lab.localkube.registry.validation.metadata import check_labels
from lab.localkube.registry.validation.numbers import PROTOCOLS, check_port, check_port_or_name

_LIMIT = 1024 * 1024
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
_FROZEN = "field is immutable when `immutable` is set"


def check_service(obj: KubeObject, causes: Causes) -> None:
    """A Service."""
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type"), spec.get("ports") or ()
    if kind == "ExternalName":
        if not spec.get("externalName"):
            causes.required("spec.externalName")
        elif subdomain_problem(spec["externalName"]):
            causes.invalid("spec.externalName", spec["externalName"], subdomain_problem(spec["externalName"]))
    elif not ports and spec.get("clusterIP") != "None":
        causes.required("spec.ports")
    if spec.get("sessionAffinity") not in ("ClientIP", "None"):
        causes.unsupported("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    check_labels(spec.get("selector"), "spec.selector", causes)
    names: set[str] = set()
    numbers: set[tuple[object, object]] = set()
    for index, port in enumerate(ports):
        path, name = f"spec.ports[{index}]", port.get("name", "")
        if not name and len(ports) > 1:
            causes.required(f"{path}.name")
        elif name and label_problem(name):
            causes.invalid(f"{path}.name", name, label_problem(name))
        elif name and name in names:
            causes.duplicate(f"{path}.name", name)
        names.add(name)
        check_port(port.get("port"), f"{path}.port", causes)
        if port.get("protocol") not in PROTOCOLS:
            causes.unsupported(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
        check_port_or_name(port.get("targetPort"), f"{path}.targetPort", causes)
        number = (port.get("port"), port.get("protocol"))
        if number in numbers:
            causes.duplicate(path, {"port": number[0], "protocol": number[1]})
        numbers.add(number)
    if kind not in _TYPES:
        causes.unsupported("spec.type", kind, _TYPES)
    if kind in ("NodePort", "LoadBalancer") and spec.get("clusterIP") == "None":
        causes.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")


def check_service_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """A cluster IP stays, unless the service becomes or was an ExternalName."""
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    if before and after and before != after:
        causes.invalid("spec.clusterIPs[0]", [after], "may not change once set")


def _check_keys(data: KubeObject, path: str, causes: Causes, binary: Collection[str] = ()) -> None:
    for key in sorted(data):
        if len(key) > 253:
            causes.invalid(f"{path}[{key}]", key, "must be no more than 253 characters")
        if not CONFIG_KEY.match(key):
            causes.invalid(f"{path}[{key}]", key, CONFIG_KEY_MESSAGE)
        if key in (".", ".."):
            causes.invalid(f"{path}[{key}]", key, f"must not be '{key}'")
        elif key.startswith(".."):
            causes.invalid(f"{path}[{key}]", key, "must not start with '..'")
        if key in binary:
            causes.invalid(f"{path}[{key}]", key, "duplicate of key present in binaryData")


def _check_size(data: KubeObject, path: str, causes: Causes) -> None:
    if sum(len(value) for value in data.values()) > _LIMIT:
        causes.found.append((path, "FieldValueTooLong", f"Too long: may not be more than {_LIMIT} bytes"))


def check_config_map(obj: KubeObject, causes: Causes) -> None:
    """A ConfigMap."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    _check_keys(data, "data", causes, binary)
    _check_keys(binary, "binaryData", causes)
    _check_size(data | binary, "", causes)


def check_secret(obj: KubeObject, causes: Causes) -> None:
    """A Secret."""
    data = obj.get("data") or {}
    _check_keys(data, "data", causes)
    _check_size(data, "data", causes)
    for key, value in sorted(data.items()):
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            causes.invalid(f"data[{key}]", "<secret>", "illegal base64 data")
    if obj.get("type") == "kubernetes.io/service-account-token":
        name = "kubernetes.io/service-account.name"
        if not (obj["metadata"].get("annotations") or {}).get(name):
            causes.required(f"metadata.annotations[{name}]")
    for key in _SECRET_KEYS.get(obj.get("type", ""), ()):
        if key not in data:
            causes.required(f"data[{key}]")


def check_config_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """Nothing of an immutable ConfigMap or Secret changes; a Secret's type never does."""
    if old.get("immutable"):
        if not new.get("immutable"):
            causes.forbidden("immutable", _FROZEN)
        for field in ("data", "binaryData"):
            if (old.get(field) or {}) != (new.get(field) or {}):
                causes.forbidden(field, _FROZEN)
    if old.get("type") != new.get("type"):
        causes.invalid("type", new.get("type"), "field is immutable")


def check_role(obj: KubeObject, causes: Causes) -> None:
    """A Role or ClusterRole."""
    for index, rule in enumerate(obj.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            causes.required(f"{path}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            continue
        if not rule.get("apiGroups"):
            causes.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            causes.required(f"{path}.resources", "resource rules must supply at least one resource")


def check_role_binding(obj: KubeObject, causes: Causes) -> None:
    """A RoleBinding or ClusterRoleBinding."""
    role = obj.get("roleRef") or {}
    if role.get("kind") not in ("Role", "ClusterRole"):
        causes.unsupported("roleRef.kind", role.get("kind", ""), ("Role", "ClusterRole"), ordered=True)
    if not role.get("name"):
        causes.required("roleRef.name")
    for index, subject in enumerate(obj.get("subjects") or ()):
        path, kind = f"subjects[{index}]", subject.get("kind", "")
        if kind not in ("ServiceAccount", "User", "Group"):
            causes.unsupported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"), ordered=True)
        if not subject.get("name"):
            causes.required(f"{path}.name")
        if kind == "ServiceAccount" and not subject.get("namespace"):
            causes.required(f"{path}.namespace")


def check_role_binding_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """What a binding grants cannot change."""
    if old.get("roleRef") != new.get("roleRef"):
        causes.invalid("roleRef", new.get("roleRef"), "cannot change roleRef")


def check_endpoint_slice(obj: KubeObject, causes: Causes) -> None:
    """An EndpointSlice. Loopback addresses are allowed: local pods have no others."""
    supported = ("FQDN", "IPv4", "IPv6")
    if not obj.get("addressType"):
        causes.required("addressType")
    elif obj["addressType"] not in supported:
        causes.unsupported("addressType", obj["addressType"], supported)
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        if not endpoint.get("addresses"):
            causes.required(f"endpoints[{index}].addresses", "must contain at least 1 address")


def check_priority_class_update(old: KubeObject, new: KubeObject, causes: Causes) -> None:
    """A priority cannot change."""
    if old.get("value") != new.get("value"):
        causes.forbidden("value", "may not be changed in an update.")


def check_lease(obj: KubeObject, causes: Causes) -> None:
    """A Lease."""
    spec = obj.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        causes.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    if transitions is not None and transitions < 0:
        causes.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")
