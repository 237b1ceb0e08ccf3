"""Small objects for the registry's tests."""

from __future__ import annotations

from typing import Any

from lab.kube.resources import builtin

PODS = builtin("pods")
DEPLOYMENTS = builtin("deployments")
SERVICES = builtin("services")
NAMESPACES = builtin("namespaces")
CONFIG_MAPS = builtin("configmaps")
SECRETS = builtin("secrets")
JOBS = builtin("jobs")
BUDGETS = builtin("poddisruptionbudgets")


def container(**more: Any) -> dict[str, Any]:
    return {"name": "c", "image": "toil-lab:1"} | more


def pod(name: str = "p", *, labels: dict | None = None, meta: dict | None = None, **spec: Any) -> dict:
    return {
        "metadata": {"name": name, "labels": labels or {"app": "web"}} | (meta or {}),
        "spec": {"containers": [container()]} | spec,
    }


def deployment(name: str = "web", **spec: Any) -> dict:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container()]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template} | spec,
    }


def service(name: str = "web", **spec: Any) -> dict:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}} | spec}


def job(name: str = "once", **spec: Any) -> dict:
    template = {"spec": {"restartPolicy": "Never", "containers": [container()]}}
    return {"metadata": {"name": name}, "spec": {"template": template} | spec}


def budget(name: str = "web", **spec: Any) -> dict:
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "web"}}} | spec}
