"""The downward API: values of a pod by field path, and of a container's resources."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lab.kube.objects import KubeObject
from lab.kube.quantity import parse_quantity

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]$")


class MissingReference(Exception):
    """A container refers to something that is not there (yet): reason CreateContainerConfigError."""


@dataclass(frozen=True, slots=True)
class PodPlace:
    """Where a pod runs: its own address, its node's address, and what the node can give."""

    pod_ip: str
    host_ip: str
    cpu: float
    memory: float


def field_value(pod: KubeObject, path: str, place: PodPlace) -> str:
    """The value of `metadata.name`, `metadata.labels['app']`, `status.podIP` ... Raises MissingReference."""
    metadata, spec = pod["metadata"], pod["spec"]
    match = _SUBSCRIPT.match(path)
    if match:
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    simple = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "metadata.labels": _formatted(metadata.get("labels") or {}),
        "metadata.annotations": _formatted(metadata.get("annotations") or {}),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": place.pod_ip,
        "status.podIPs": place.pod_ip,
        "status.hostIP": place.host_ip,
        "status.hostIPs": place.host_ip,
    }
    if path not in simple:
        raise MissingReference(f"unsupported fieldPath: {path}")
    return str(simple[path])


def _formatted(values: Mapping[str, str]) -> str:
    quoted = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in values.items()}
    return "\n".join(f'{key}="{value}"' for key, value in sorted(quoted.items()))


def resource_value(container: KubeObject, resource: str, divisor: str, place: PodPlace) -> str:
    """`limits.cpu`, `requests.memory` ... in units of the divisor, rounded up.

    A limit that is not set is what the node has, as upstream. Raises MissingReference.
    """
    kind, _, name = resource.partition(".")
    given = (container.get("resources") or {}).get(kind) or {}
    if name in given:
        amount = float(parse_quantity(given[name]))
    elif kind == "limits" and name in ("cpu", "memory"):
        amount = place.cpu if name == "cpu" else place.memory
    elif kind in ("limits", "requests"):
        amount = 0.0
    else:
        raise MissingReference(f"unsupported resource: {resource}")
    unit = float(parse_quantity(divisor or "1")) or 1.0
    return str(math.ceil(round(amount / unit, 6)))
