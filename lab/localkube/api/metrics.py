"""metrics.k8s.io: what pods and nodes use now, read from the kubelet and stored nowhere.

Source: kubernetes-sigs/metrics-server, pkg/api.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from lab.core.clock import Clock
from lab.kube.objects import KubeObject, name_of
from lab.kube.quantity import format_quantity, parse_quantity
from lab.kube.resources import Resource, builtin
from lab.kube.status import not_found
from lab.localkube.api.columns import NAME, Column, at
from lab.localkube.protocols import ContainerUsage, ListResult, PodRuntime, Registry

GROUP = "metrics.k8s.io"
METRICS_WINDOW = 15.0
"""Seconds over which the use of processors is averaged: metrics-server's."""

_PODS, _NODES = builtin("Pod"), builtin("Node")


class ResourceMetrics:
    """Answers for pods and nodes. `runtime` gives the kubelet, None while there is none."""

    def __init__(
        self, registry: Registry, clock: Clock, window: float, runtime: Callable[[], PodRuntime | None]
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._window = window
        self._runtime = runtime

    def usage(self, pod: KubeObject) -> Mapping[str, ContainerUsage]:
        """What each container of a running pod uses; empty when that is not known."""
        runtime = self._runtime()
        running = at(pod, "status", "phase") == "Running"
        return runtime.usage(pod, self._window) if runtime and running else {}

    def get(self, resource: Resource, namespace: str, name: str) -> KubeObject:
        """PodMetrics or NodeMetrics. Raises StatusError 404, also for what has not been measured yet."""
        pods = resource.namespaced
        measured = self._registry.get(_PODS if pods else _NODES, namespace, name)
        found = self._pod(measured) if pods else self._node(measured)
        if found is None:
            raise not_found(resource.kind.lower(), GROUP, f"{namespace}/{name}" if pods else name)
        return found

    def list(
        self, resource: Resource, namespace: str, label_selector: str, field_selector: str
    ) -> ListResult:
        """All that has been measured, in name order. Raises StatusError 400 for a selector."""
        measured = self._registry.list(
            _PODS if resource.namespaced else _NODES,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
        )
        make = self._pod if resource.namespaced else self._node
        found = [metrics for obj in measured.items if (metrics := make(obj)) is not None]
        return ListResult(found, measured.rv)

    def _pod(self, pod: KubeObject) -> KubeObject | None:
        usage = self.usage(pod)
        if not usage:
            return None
        containers = [{"name": name, "usage": _quantities([each])} for name, each in usage.items()]
        return self._metrics("PodMetrics", pod, usage.values()) | {"containers": containers}

    def _node(self, node: KubeObject) -> KubeObject | None:
        """The sum of its pods: several nodes share a machine."""
        if self._runtime() is None:
            return None
        of_node = f"spec.nodeName={name_of(node)}"
        pods = self._registry.list(_PODS, field_selector=of_node).items
        used = [usage for pod in pods for usage in self.usage(pod).values()]
        return self._metrics("NodeMetrics", node, used) | {"usage": _quantities(used)}

    def _metrics(self, kind: str, obj: KubeObject, used: Iterable[ContainerUsage]) -> KubeObject:
        now = self._clock.now()
        times = [(each.at, each.window) for each in used]
        ended, window = max(times, default=(now, self._window))
        metadata = {key: obj["metadata"][key] for key in ("name", "namespace") if key in obj["metadata"]}
        metadata["creationTimestamp"] = _stamp(now)
        if labels := obj["metadata"].get("labels"):
            metadata["labels"] = labels
        return {
            "kind": kind,
            "apiVersion": f"{GROUP}/v1beta1",
            "metadata": metadata,
            "timestamp": _stamp(ended),
            "window": duration(window),
        }


def _quantities(used: Iterable[ContainerUsage]) -> dict[str, str]:
    cpu, memory = 0.0, 0
    for each in used:
        cpu, memory = cpu + each.cpu, memory + each.memory
    return {
        "cpu": format_quantity(f"{round(cpu * 1e9)}n"),
        "memory": format_quantity(f"{memory // 1024}Ki"),
    }


def duration(seconds: float) -> str:
    """Seconds as Go prints a duration, to the millisecond: `15s`, `1.004s`."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def _stamp(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _of_pod(resource: str) -> Column:
    def cell(obj: KubeObject, _: datetime) -> str:
        amounts = [each["usage"][resource] for each in obj["containers"]]
        suffix = "Ki" if resource == "memory" else ""
        total = sum(parse_quantity(amount) for amount in amounts)
        return format_quantity(f"{total // 1024}{suffix}" if suffix else f"{total:f}")

    return Column(resource, cell, format="quantity")


def _of_node(resource: str) -> Column:
    return Column(resource, lambda obj, _: obj["usage"][resource], format="quantity")


_WINDOW = Column("Window", lambda obj, _: obj["window"], format="duration")
POD_METRICS = (NAME, _of_pod("cpu"), _of_pod("memory"), _WINDOW)
NODE_METRICS = (NAME, _of_node("cpu"), _of_node("memory"), _WINDOW)
