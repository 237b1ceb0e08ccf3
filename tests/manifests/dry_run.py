"""Manifests sent to an API server as a server-side dry run: admitted, validated, and not kept.

A dry run needs the namespace and the ServiceAccount that an object names. So namespaces with names of their
own are made for real, labelled, and removed with all that is in them; nothing else is.
"""

from __future__ import annotations

import asyncio
import copy
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from manifest_files import Manifest

from lab.kube.client import KubeClient
from lab.kube.resources import builtin
from lab.kube.status import StatusError

LABEL = "toil-lab/manifests"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
DRY = {"dryRun": "All", "fieldValidation": "Strict"}
GONE_SECONDS = 120.0


class DryRun:
    """One run. names: the lab's namespaces, to those that stand for them here."""

    def __init__(self, kube: KubeClient, manifests: list[Manifest]) -> None:
        self._kube = kube
        self._run = secrets.token_hex(3)
        wanted = {m.name for m in manifests if m.kind == "Namespace"} | {m.namespace for m in manifests}
        self.names = {name: f"toil-lab-manifests-{self._run}-{name}" for name in sorted(wanted - {""})}

    @asynccontextmanager
    async def namespaces(self) -> AsyncIterator[None]:
        """The namespaces are there, and gone afterwards."""
        try:
            for name in self.names.values():
                metadata = {"name": name, "labels": {LABEL: self._run, **RESTRICTED}}
                await self._kube.create("namespaces", {"metadata": metadata})
            yield
        finally:
            await self._remove()

    async def problems(self, manifests: list[Manifest]) -> list[str]:
        """A line for each object that the server refuses, its pods' included: file, object, field, why."""
        for manifest in manifests:
            if manifest.kind == "ServiceAccount":
                await self._kube.create("serviceaccounts", self._moved(manifest))
        sent = [m for m in manifests if m.kind != "ServiceAccount"]
        pods = [_pod(manifest) for manifest in sent if manifest.kind == "Deployment"]
        said = await asyncio.gather(*(self._problem(manifest) for manifest in [*sent, *pods]))
        return [line for line in said if line]

    async def kept(self) -> list[str]:
        """What the server has kept of a dry run, against the rule."""
        found = []
        for kind in ("deployments", "pods", "secrets", "services", "roles", "rolebindings"):
            for name in self.names.values():
                items = (await self._kube.list(kind, name))["items"]
                found += [f"{kind} {item['metadata']['name']}" for item in items if not _own(item)]
        for kind in ("clusterroles", "clusterrolebindings", "validatingadmissionpolicies"):
            items = (await self._kube.list(kind))["items"]
            found += [item["metadata"]["name"] for item in items if self._run in item["metadata"]["name"]]
        return found

    async def _problem(self, manifest: Manifest) -> str:
        resource = builtin(manifest.kind)
        path = resource.path(self.names.get(manifest.namespace, ""))
        if resource.api_version != manifest.obj["apiVersion"]:
            return f"{manifest}: {manifest.obj['apiVersion']} is not {resource.api_version}"
        try:
            await self._kube.request("POST", path, body=self._moved(manifest), query=DRY)
        except StatusError as error:
            return f"{manifest}: {error.message}"
        return ""

    def _moved(self, manifest: Manifest) -> dict[str, Any]:
        """The object with the names that stand for the lab's here."""
        obj = copy.deepcopy(manifest.obj)
        if not manifest.namespace:
            obj["metadata"]["name"] = f"{manifest.name}-{self._run}"
        _rename(obj, self.names)
        return obj

    async def _remove(self) -> None:
        selector = f"{LABEL}={self._run}"
        async with asyncio.timeout(GONE_SECONDS):
            while left := (await self._kube.list("namespaces", label_selector=selector))["items"]:
                for namespace in left:
                    if "deletionTimestamp" not in namespace["metadata"]:
                        await self._kube.delete("namespaces", namespace["metadata"]["name"])
                await asyncio.sleep(0.1)


def _rename(value: Any, names: dict[str, str]) -> None:
    """Have every `namespace` below name the one that stands for it."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for found in inner:
        _rename(found, names)
    if isinstance(value, dict) and value.get("namespace") in names:
        value["namespace"] = names[value["namespace"]]


def _pod(deployment: Manifest) -> Manifest:
    """The pod that a Deployment would make."""
    template = deployment.obj["spec"]["template"]
    metadata = {**template["metadata"], "name": deployment.name, "namespace": deployment.namespace}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    return Manifest(deployment.file, pod)


def _own(item: dict[str, Any]) -> bool:
    """Whether a cluster puts this into each namespace by itself."""
    return str(item.get("type", "")).startswith("kubernetes.io/") or "builder" in item["metadata"]["name"]
