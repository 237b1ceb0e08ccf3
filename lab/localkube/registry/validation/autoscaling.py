"""HorizontalPodAutoscaler.

Source: k8s.io/kubernetes/pkg/apis/autoscaling/validation/validation.go.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.quantity import parse_quantity
from lab.localkube.registry.autoscaling import to_v2
from lab.localkube.registry.validation.causes import Causes

LONGEST_WINDOW = 3600
LONGEST_PERIOD = 1800
_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}


def check_old_autoscaler(obj: KubeObject, causes: Causes) -> None:
    """An autoscaling/v1 one, by the rules of what it is stored as."""
    check_autoscaler(to_v2(obj), causes)


def check_autoscaler(obj: KubeObject, causes: Causes) -> None:
    """An autoscaling/v2 HorizontalPodAutoscaler."""
    spec = obj.get("spec") or {}
    most, least = spec.get("maxReplicas") or 0, spec.get("minReplicas", 1)
    if least < 1:
        causes.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        causes.invalid("spec.maxReplicas", most, "must be greater than 0")
    if most < least:
        causes.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    _check_reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef", causes)
    for index, metric in enumerate(spec.get("metrics") or ()):
        _check_metric(metric, f"spec.metrics[{index}]", causes)
    behavior = spec.get("behavior") or {}
    for direction in ("scaleUp", "scaleDown"):
        if behavior.get(direction) is not None:
            _check_rules(behavior[direction], f"spec.behavior.{direction}", causes)


def _check_reference(reference: KubeObject, path: str, causes: Causes) -> None:
    for field in ("kind", "name"):
        value = reference.get(field)
        if not value:
            causes.required(f"{path}.{field}")
            continue
        for bad in ("/", "%"):
            if bad in value:
                causes.invalid(f"{path}.{field}", value, f"may not contain '{bad}'")
        if value in (".", ".."):
            causes.invalid(f"{path}.{field}", value, f"may not be '{value}'")


def _check_metric(metric: KubeObject, path: str, causes: Causes) -> None:
    kind = metric.get("type")
    if not kind:
        causes.required(f"{path}.type", "must specify a metric source type")
        return
    if kind not in _SOURCES:
        causes.unsupported(f"{path}.type", kind, _SOURCES)
        return
    field = _SOURCES[kind]
    source = metric.get(field)
    if source is None:
        causes.required(f"{path}.{field}", "must populate information for the given metric source")
    else:
        _CHECKS[kind](source, f"{path}.{field}", causes)
    for other in _SOURCES.values():
        if other != field and metric.get(other) is not None:
            causes.forbidden(f"{path}.{other}", "must populate the given metric source only")


def _check_resource(source: KubeObject, path: str, causes: Causes) -> None:
    if not source.get("name"):
        causes.required(f"{path}.name", "must specify a resource name")
    target = source.get("target") or {}
    _check_target(target, f"{path}.target", causes)
    utilization, average = target.get("averageUtilization"), target.get("averageValue")
    if utilization is None and average is None:
        why = "must set either a target raw value or a target utilization"
        causes.required(f"{path}.target.averageUtilization", why)
    if utilization is not None and average is not None:
        why = "may not set both a target raw value and a target utilization"
        causes.forbidden(f"{path}.target.averageValue", why)


def _check_container(source: KubeObject, path: str, causes: Causes) -> None:
    if not source.get("container"):
        causes.required(f"{path}.container", "must specify a container")
    _check_resource(source, path, causes)


def _check_pods(source: KubeObject, path: str, causes: Causes) -> None:
    _check_identity(source, path, causes)
    target = source.get("target") or {}
    _check_target(target, f"{path}.target", causes)
    if not _positive(target.get("averageValue")):
        causes.required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def _check_object(source: KubeObject, path: str, causes: Causes) -> None:
    _check_reference(source.get("describedObject") or {}, f"{path}.describedObject", causes)
    _check_identity(source, path, causes)
    target = source.get("target") or {}
    _check_target(target, f"{path}.target", causes)
    if target.get("value") is None and target.get("averageValue") is None:
        why = "must set either a target value or averageValue"
        causes.required(f"{path}.target.averageValue", why)


def _check_external(source: KubeObject, path: str, causes: Causes) -> None:
    _check_identity(source, path, causes)
    target = source.get("target") or {}
    _check_target(target, f"{path}.target", causes)
    value, average = target.get("value"), target.get("averageValue")
    if value is None and average is None:
        why = "must set either a target value for metric or a per-pod target"
        causes.required(f"{path}.target.averageValue", why)
    if value is not None and average is not None:
        why = "may not set both a target value for metric and a per-pod target"
        causes.forbidden(f"{path}.target.value", why)


_CHECKS = {
    "ContainerResource": _check_container,
    "External": _check_external,
    "Object": _check_object,
    "Pods": _check_pods,
    "Resource": _check_resource,
}


def _check_identity(source: KubeObject, path: str, causes: Causes) -> None:
    if not (source.get("metric") or {}).get("name"):
        causes.required(f"{path}.metric.name", "must specify a metric name")


def _check_target(target: KubeObject, path: str, causes: Causes) -> None:
    kind = target.get("type")
    if not kind:
        causes.required(f"{path}.type", "must specify a metric target type")
    elif kind not in ("Utilization", "Value", "AverageValue"):
        causes.invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if target.get(field) is not None and not _positive(target[field]):
            causes.invalid(f"{path}.{field}", target[field], "must be positive")
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        causes.invalid(f"{path}.averageUtilization", utilization, "must be greater than 0")


def _positive(quantity: Any) -> bool:
    try:
        return quantity is not None and parse_quantity(quantity) > Decimal(0)
    except ValueError:
        return False


def _check_rules(rules: KubeObject, path: str, causes: Causes) -> None:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        causes.invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > LONGEST_WINDOW:
        why = f"must be less than or equal to {LONGEST_WINDOW}"
        causes.invalid(f"{path}.stabilizationWindowSeconds", window, why)
    if rules.get("selectPolicy") not in (None, "Max", "Min", "Disabled"):
        causes.unsupported(f"{path}.selectPolicy", rules["selectPolicy"], ("Max", "Min", "Disabled"))
    if not rules.get("policies"):
        causes.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules.get("policies") or ()):
        _check_policy(policy, f"{path}.policies[{index}]", causes)


def _check_policy(policy: KubeObject, path: str, causes: Causes) -> None:
    if policy.get("type") not in ("Pods", "Percent"):
        causes.unsupported(f"{path}.type", policy.get("type", ""), ("Percent", "Pods"))
    for field in ("value", "periodSeconds"):
        if (policy.get(field) or 0) <= 0:
            causes.invalid(f"{path}.{field}", policy.get(field) or 0, "must be greater than zero")
    period = policy.get("periodSeconds") or 0
    if period > LONGEST_PERIOD:
        causes.invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {LONGEST_PERIOD}")
