"""All that a cluster holds, for a comparison before and after."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.objects import name_of, namespace_of
from lab.kube.resources import BUILTIN
from lab.kube.status import StatusError

FLEETING = ("events", "leases", "endpointslices", "nodes", "pods.metrics.k8s.io")
"""What a cluster writes by itself all the time."""


def everything(kubeconfig: Path) -> set[str]:
    """Every object of the cluster by kind, namespace and name."""

    async def go() -> set[str]:
        found = set()
        async with KubeClient(load_kubeconfig(kubeconfig)) as kube:
            served = {path: await _served(kube, path) for path in {_group(r.api_version) for r in BUILTIN}}
            for resource in BUILTIN:
                if "list" not in resource.verbs or resource.plural in FLEETING:
                    continue
                if resource.plural in served[_group(resource.api_version)]:
                    items = (await kube.list(resource, ""))["items"]
                    found |= {f"{resource.key} {namespace_of(item)}/{name_of(item)}" for item in items}
        return found

    return asyncio.run(go())


def _group(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


async def _served(kube: KubeClient, path: str) -> set[str]:
    try:
        return {resource["name"] for resource in (await kube.request("GET", path))["resources"]}
    except StatusError as error:
        if error.code == 404:
            return set()
        raise
