"""Environment variables of containers, and where their values come from.

Source: k8s.io/kubernetes/pkg/apis/core/validation/validation.go ValidateEnv.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.localkube.registry.names import CONFIG_KEY, CONFIG_KEY_MESSAGE, subdomain_problem
from lab.localkube.registry.validation.causes import Causes

_OF_PODS = (
    *("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"),
    *("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName"),
    *("status.phase", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs", "spec.host"),
)
"""What a fieldPath may name."""
_OF_CONTAINERS = tuple(
    f"{part}.{name}" for part in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
"""What a resourceFieldRef may name."""


def check_environment(container: KubeObject, path: str, causes: Causes) -> None:
    """`env` and `envFrom` of a container."""
    for index, variable in enumerate(container.get("env") or ()):
        at, name = f"{path}.env[{index}]", variable.get("name", "")
        if not name:
            causes.required(f"{at}.name")
        elif "=" in name or not name.isprintable():
            causes.invalid(
                f"{at}.name",
                name,
                "a valid environment variable name must consist only of printable ASCII characters "
                "other than '='",
            )
        source = variable.get("valueFrom")
        if source is not None:
            _check_source(source, f"{at}.valueFrom", causes)
            if variable.get("value"):
                causes.invalid(f"{at}.valueFrom", "", "may not be specified when `value` is not empty")
            if len(source) != 1:
                many = "may not have more than one field specified at a time"
                one = (
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
                )
                causes.invalid(f"{at}.valueFrom", "", many if source else one)
    for index, source in enumerate(container.get("envFrom") or ()):
        given = [field for field in ("configMapRef", "secretRef") if field in source]
        for field in given:
            name, at = source[field].get("name", ""), f"{path}.envFrom[{index}].{field}.name"
            if not name:
                causes.required(at)
            elif subdomain_problem(name):
                causes.invalid(at, name, subdomain_problem(name))
        if len(given) != 1:  # as upstream, without an index
            many = "may not have more than one field specified at a time"
            one = "must specify one of: `configMapRef` or `secretRef`"
            causes.invalid(f"{path}.envFrom", "", many if given else one)


def _check_source(source: KubeObject, path: str, causes: Causes) -> None:
    """Where the value of a variable comes from."""
    if "fieldRef" in source:
        field, at = source["fieldRef"].get("fieldPath", ""), f"{path}.fieldRef.fieldPath"
        if not field:
            causes.required(at)
        elif field.partition("[")[0] not in _OF_PODS:
            causes.invalid(at, field, f"error converting fieldPath: field label not supported: {field}")
    if "resourceFieldRef" in source:
        resource, at = source["resourceFieldRef"].get("resource", ""), f"{path}.resourceFieldRef.resource"
        if not resource:
            causes.required(at)
        elif resource not in _OF_CONTAINERS and ".hugepages-" not in resource:
            causes.unsupported(at, resource, _OF_CONTAINERS)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            name = source[kind].get("name", "")
            if subdomain_problem(name):
                causes.invalid(f"{path}.{kind}.name", name, subdomain_problem(name))
            key = source[kind].get("key", "")
            if not key:
                causes.required(f"{path}.{kind}.key")
            elif not CONFIG_KEY.match(key):
                causes.invalid(f"{path}.{kind}.key", key, CONFIG_KEY_MESSAGE)
