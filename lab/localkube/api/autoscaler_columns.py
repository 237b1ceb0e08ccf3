"""The table columns of a HorizontalPodAutoscaler.

Source: kubernetes pkg/printers/internalversion/printers.go (formatHPAMetrics).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lab.kube.objects import KubeObject
from lab.localkube.api.columns import AGE, NAME, NONE, UNKNOWN, UNSET, Column, at, field
from lab.localkube.registry.autoscaling import to_v2

_SHOWN = 2
"""Metrics that are shown before it says how many more there are."""
_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _target(metric: KubeObject, current: KubeObject) -> str:
    """`cpu: 30%/80%`, `250m/1k`, `5/10 (avg)`: what is seen and what is wanted."""
    kind = str(metric.get("type"))
    source = _SOURCES.get(kind, "")
    wanted = at(metric, source, "target", default={})
    seen = at(current, source, "current", default={}) if current.get("type") == kind else {}
    name = f"{at(metric, source, 'name')}: " if kind in ("Resource", "ContainerResource") else ""
    if name and "averageValue" not in wanted:
        percent = wanted.get("averageUtilization")
        goal = "<auto>" if percent is None else f"{percent}%"
        value = f"{seen['averageUtilization']}%" if "averageUtilization" in seen else UNKNOWN
        return f"{name}{value}/{goal}"
    if "averageValue" in wanted:
        per_pod = " (avg)" if kind in ("Object", "External") else ""
        return f"{name}{seen.get('averageValue', UNKNOWN)}/{wanted['averageValue']}{per_pod}"
    return f"{seen.get('value', UNKNOWN)}/{wanted.get('value')}"


def _targets(obj: KubeObject, _: datetime) -> str:
    metrics: Sequence[KubeObject] = at(obj, "spec", "metrics", default=())
    current: Sequence[KubeObject] = at(obj, "status", "currentMetrics", default=())
    texts = [
        _target(metric, current[index] if index < len(current) else {})
        for index, metric in enumerate(metrics)
    ]
    if not texts:
        return NONE
    more = f" + {len(texts) - _SHOWN} more..." if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _reference(obj: KubeObject, _: datetime) -> str:
    return f"{at(obj, 'spec', 'scaleTargetRef', 'kind')}/{at(obj, 'spec', 'scaleTargetRef', 'name')}"


def _of_stored(column: Column) -> Column:
    """A column that shows a view as what is stored."""
    return Column(column.name, lambda obj, now: column.cell(to_v2(obj), now), column.type)


AUTOSCALER = (
    NAME,
    Column("Reference", _reference),
    Column("Targets", _targets),
    Column("MinPods", lambda obj, _: str(at(obj, "spec", "minReplicas", default=UNSET))),
    field("MaxPods", "spec", "maxReplicas", default=0),
    field("Replicas", "status", "currentReplicas", default=0),
    AGE,
)
OLD_AUTOSCALER = tuple(_of_stored(column) if column.name == "Targets" else column for column in AUTOSCALER)
