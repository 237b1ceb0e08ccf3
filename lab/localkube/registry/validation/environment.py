"""Environment variables of containers, and where their values come from.

Source: k8s.io/kubernetes/pkg/apis/core/validation/validation.go ValidateEnv.
"""

from __future__ import annotations

from lab.kube.objects import KubeObject
from lab.localkube.registry.validation.causes import Causes

_OF_PODS = (
    *("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"),
    *("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName"),
    *("status.phase", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs", "spec.host"),
)
"""What a fieldPath may name."""


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
            if variable.get("value"):
                causes.invalid(f"{at}.valueFrom", "", "may not be specified when `value` is not empty")
            if len(source) != 1:
                many = "may not have more than one field specified at a time"
                one = (
                    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
                )
                causes.invalid(f"{at}.valueFrom", "", many if source else one)
            field = (source.get("fieldRef") or {}).get("fieldPath")
            if field and field.partition("[")[0] not in _OF_PODS:
                why = f"error converting fieldPath: field label not supported: {field}"
                causes.invalid(f"{at}.valueFrom.fieldRef.fieldPath", field, why)
    for index, source in enumerate(container.get("envFrom") or ()):
        if ("configMapRef" in source) == ("secretRef" in source):
            message = "must specify one of: `configMapRef` or `secretRef`"
            causes.invalid(f"{path}.envFrom[{index}]", "", message)
