"""HorizontalPodAutoscalers in their two shapes: autoscaling/v2 is stored, v1 is a view of it.

v1 knows a target for the cpu and nothing else. What it cannot say is in annotations, in shapes of their own,
so that a client that reads v1 and writes it back loses nothing.

Source: k8s.io/kubernetes/pkg/apis/autoscaling/v1/conversion.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from lab.kube.objects import KubeObject
from lab.localkube.registry.decoding import conform
from lab.localkube.registry.defaults.autoscaling import default_autoscaler

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR = (
    _PREFIX + name for name in ("metrics", "current-metrics", "conditions", "behavior")
)
_ANNOTATIONS = (_METRICS, _CURRENT, _CONDITIONS, _BEHAVIOR)
_API = "autoscaling/"


def to_v1(obj: KubeObject) -> KubeObject:
    """A stored HorizontalPodAutoscaler as autoscaling/v1; shares its members."""
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics, current = list(spec.pop("metrics", None) or ()), list(status.pop("currentMetrics", None) or ())
    notes: dict[str, Any] = {}
    target = _take_cpu(metrics, "target")
    if target is not None:
        spec["targetCPUUtilizationPercentage"] = target
    for count in ("currentReplicas", "desiredReplicas"):
        status.setdefault(count, 0)
    seen = _take_cpu(current, "current")
    if seen is not None:
        status["currentCPUUtilizationPercentage"] = seen
    notes[_METRICS] = [_metric_to_v1(metric, "target") for metric in metrics]
    notes[_CURRENT] = [_metric_to_v1(metric, "current") for metric in current]
    notes[_CONDITIONS] = status.pop("conditions", None)
    notes[_BEHAVIOR] = spec.pop("behavior", None)
    annotations = _without_notes(obj) | {
        key: orjson.dumps(value).decode() for key, value in notes.items() if value
    }
    return _rebuilt(obj, "v1", annotations, spec, status)


def to_v2(obj: KubeObject) -> KubeObject:
    """An autoscaling/v1 HorizontalPodAutoscaler as it is stored; shares its members.

    An annotation that cannot be read counts as absent. Raises StatusError 400 when one has values of a wrong
    type.
    """
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    metrics = [_metric_to_v2(metric, "target") for metric in _note(obj, _METRICS, list)]
    target = spec.pop("targetCPUUtilizationPercentage", None)
    if target is not None:
        cpu = {"type": "Utilization", "averageUtilization": target}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": cpu}})
    spec["metrics"] = metrics
    current = [_metric_to_v2(metric, "current") for metric in _note(obj, _CURRENT, list)]
    seen = status.pop("currentCPUUtilizationPercentage", None)
    if seen is not None:
        current.append(
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": seen}}}
        )
    if current:
        status["currentMetrics"] = current
    if conditions := _note(obj, _CONDITIONS, list):
        status["conditions"] = conditions
    if behavior := _note(obj, _BEHAVIOR, dict):
        spec["behavior"] = behavior
    rebuilt = _rebuilt(obj, "v2", _without_notes(obj), spec, status)
    default_autoscaler(rebuilt)
    return conform(rebuilt, "autoscaling", "v2", "HorizontalPodAutoscaler")[0]


def _take_cpu(metrics: list[KubeObject], side: str) -> int | None:
    """Remove the first utilization of the cpu; its percentage."""
    for index, metric in enumerate(metrics):
        resource = metric.get("resource") or {}
        percent = (resource.get(side) or {}).get("averageUtilization")
        if metric.get("type") == "Resource" and resource.get("name") == "cpu" and percent is not None:
            del metrics[index]
            return int(percent)
    return None


def _without_notes(obj: KubeObject) -> dict[str, Any]:
    annotations = obj.get("metadata", {}).get("annotations") or {}
    return {key: value for key, value in annotations.items() if key not in _ANNOTATIONS}


def _note(obj: KubeObject, key: str, kind: Callable[[], Any]) -> Any:
    text = (obj.get("metadata", {}).get("annotations") or {}).get(key)
    try:
        value = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        value = None
    empty = kind()
    return value if isinstance(value, type(empty)) else empty


def _rebuilt(
    obj: KubeObject, version: str, annotations: dict[str, Any], spec: KubeObject, status: KubeObject
) -> KubeObject:
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    rebuilt = {**obj, "apiVersion": _API + version, "metadata": metadata, "spec": spec}
    if "status" in obj or status:
        rebuilt["status"] = status
    return rebuilt


_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}
_VALUES: Mapping[str, Mapping[str, str]] = {
    "target": {
        "averageUtilization": "targetAverageUtilization",
        "averageValue": "targetAverageValue",
        "value": "targetValue",
    },
    "current": {
        "averageUtilization": "currentAverageUtilization",
        "averageValue": "currentAverageValue",
        "value": "currentValue",
    },
}


def _names(field: str, side: str) -> dict[str, str]:
    """What the numbers of a source are called in annotations."""
    own = {"averageValue": "averageValue"} if field == "object" else {}
    return {**_VALUES[side], **own}


def _metric_to_v1(metric: KubeObject, side: str) -> KubeObject:
    """A metric as the annotations have it: its identity and numbers are members of the source."""
    field = _SOURCES.get(str(metric.get("type")), "")
    source = dict(metric.get(field) or {})
    numbers = source.pop(side, None) or {}
    identity = source.pop("metric", None) or {}
    if described := source.pop("describedObject", None):
        source["target"] = described
    names = _names(field, side)
    source |= {names[key]: value for key, value in numbers.items() if key in names}
    if identity:
        source["metricName"] = identity.get("name")
        if identity.get("selector"):
            source["metricSelector" if field == "external" else "selector"] = identity["selector"]
    return {"type": metric.get("type"), field: source}


def _metric_to_v2(metric: Any, side: str) -> KubeObject:
    """The reverse of `_metric_to_v1`; what is no metric becomes one that validation refuses."""
    if not isinstance(metric, dict):
        return {"type": ""}
    field = _SOURCES.get(str(metric.get("type")), "")
    given = metric.get(field)
    source = dict(given) if isinstance(given, dict) else {}
    if described := source.pop("target", None):
        source["describedObject"] = described
    numbers: KubeObject = {}
    names = _names(field, side)
    for key, name in names.items():
        value = source.pop(name, None)
        if value not in (None, "0", 0):
            numbers[key] = value
    if side == "target":
        numbers = {"type": _target_type(numbers)} | numbers
    if name := source.pop("metricName", None):
        source["metric"] = {"name": name}
        if selector := source.pop("metricSelector" if field == "external" else "selector", None):
            source["metric"]["selector"] = selector
    return {"type": metric.get("type"), field: source | {side: numbers}}


def _target_type(numbers: Mapping[str, Any]) -> str:
    if "averageUtilization" in numbers:
        return "Utilization"
    return "AverageValue" if "averageValue" in numbers else "Value"
