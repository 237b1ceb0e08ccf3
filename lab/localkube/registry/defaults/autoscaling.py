"""Defaults of a HorizontalPodAutoscaler.

Source: k8s.io/kubernetes/pkg/apis/autoscaling/{v1,v2}/defaults.go.
"""

from __future__ import annotations

from typing import Any

from lab.kube.objects import KubeObject

UTILIZATION = 80
"""Percent of the requested cpu, where no metric is named."""

_PERIOD = 15


def default_autoscaler(obj: KubeObject) -> None:
    """At least one replica; the cpu when no metric is named; both directions once `behavior` is there."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": UTILIZATION}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if isinstance(spec.get("behavior"), dict):
        spec["behavior"]["scaleUp"] = scale_up_rules(spec["behavior"].get("scaleUp"))
        spec["behavior"]["scaleDown"] = scale_down_rules(spec["behavior"].get("scaleDown"))


def default_old_autoscaler(obj: KubeObject) -> None:
    """The same of autoscaling/v1, whose target is filled in where it is converted."""
    obj.setdefault("spec", {}).setdefault("minReplicas", 1)


def scale_up_rules(given: KubeObject | None) -> KubeObject:
    """At once, by four pods or to the double in 15 s, whichever is more; what is given comes first."""
    policies = [_policy("Pods", 4), _policy("Percent", 100)]
    return _rules({"stabilizationWindowSeconds": 0}, policies, given)


def scale_down_rules(given: KubeObject | None) -> KubeObject:
    """As far as wanted; the stabilization window is the controller's unless one is given."""
    return _rules({}, [_policy("Percent", 100)], given)


def _policy(kind: str, value: int) -> KubeObject:
    return {"type": kind, "value": value, "periodSeconds": _PERIOD}


def _rules(window: dict[str, Any], policies: list[KubeObject], given: KubeObject | None) -> KubeObject:
    chosen = {key: value for key, value in (given or {}).items() if value is not None}
    return {**window, "selectPolicy": "Max", "policies": policies, **chosen}
