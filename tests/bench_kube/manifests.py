"""What is written: small objects of the size that people write, and pods that nothing schedules or runs."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

NOBODY = "nobody-schedules-this"
"""A scheduler that does not exist: pods that name it stay Pending, and only the API is measured."""

IMAGE = "registry.k8s.io/pause:3.10"


def config_map(name: str) -> Object:
    """A ConfigMap of about 300 bytes."""
    data = {f"key-{number}": "x" * 64 for number in range(3)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(
    name: str, scheduler: str = NOBODY, image: str = IMAGE, labels: dict[str, str] | None = None
) -> Object:
    """A pod of one container. An empty `scheduler` is the cluster's own: the pod runs."""
    spec: Object = {
        "terminationGracePeriodSeconds": 5,
        "containers": [
            {
                "name": "main",
                "image": image,
                "env": [{"name": "GREETING", "value": "hello"}],
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
            }
        ],
    }
    if scheduler:
        spec["schedulerName"] = scheduler
    metadata = {"name": name, "labels": {"app": "bench"} | (labels or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def deployment(name: str, replicas: int) -> Object:
    """A Deployment whose pods nothing schedules."""
    template = pod("", labels={"deployment": name})
    del template["metadata"]["name"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"deployment": name}},
            "template": {"metadata": template["metadata"], "spec": template["spec"]},
        },
    }


MAKERS = {"configmaps": config_map, "pods": pod}
"""The kinds that the API is measured with."""
