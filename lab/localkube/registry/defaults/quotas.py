"""Defaults of LimitRanges, and quantities in their canonical form.

Source: k8s.io/kubernetes/pkg/apis/core/v1/defaults.go.
"""

from __future__ import annotations

from typing import Any

from lab.kube.objects import KubeObject
from lab.kube.quantity import format_quantity


def default_limit_range(obj: KubeObject) -> None:
    """For containers: the limit is the maximum, the request the limit or else the minimum."""
    for limit in obj.setdefault("spec", {}).get("limits") or ():
        for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            if field in limit:
                limit[field] = {name: _canonical(amount) for name, amount in limit[field].items()}
        if limit.get("type") != "Container":
            continue
        default = (limit.get("max") or {}) | (limit.get("default") or {})
        request = (limit.get("min") or {}) | default | (limit.get("defaultRequest") or {})
        for field, amounts in (("default", default), ("defaultRequest", request)):
            if amounts:
                limit[field] = amounts


def default_quota(obj: KubeObject) -> None:
    """Nothing but canonical quantities."""
    spec = obj.setdefault("spec", {})
    if spec.get("hard"):
        spec["hard"] = {name: _canonical(amount) for name, amount in spec["hard"].items()}


def _canonical(amount: Any) -> Any:
    try:
        return format_quantity(amount)
    except ValueError:
        return amount  # validation reports it
