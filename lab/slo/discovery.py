"""Tells Prometheus which pods there are: its HTTP service discovery protocol over the Kubernetes API.

It runs beside Prometheus and answers `GET /targets` with one target group per pod that has an address. The
labels are those of kubernetes_sd (role pod).
Protocol: https://prometheus.io/docs/prometheus/latest/http_sd/
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import web

from lab.core.clock import Clock
from lab.core.namespaces import PLAIN
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject, labels_of, name_of, namespace_of
from lab.kube.status import StatusError

PORT = 9091
_RETRY_SECONDS = 0.5
_OVER = ("Succeeded", "Failed")
_NOT_A_LABEL = re.compile(r"[^a-zA-Z0-9_]")


class PodTargets:
    """The pods of the lab's namespaces, kept current by a watch of each."""

    def __init__(self, kube: KubeClient, clock: Clock, namespaces: Sequence[str] = PLAIN) -> None:
        self._kube = kube
        self._clock = clock
        self._namespaces = namespaces
        self._pods: dict[str, dict[str, KubeObject]] = {}
        self._by_address: dict[str, KubeObject] | None = None

    @property
    def synced(self) -> bool:
        """Was every namespace read at least once?"""
        return len(self._pods) == len(self._namespaces)

    async def follow(self) -> None:
        """List, then watch, for ever. A lost API server leaves the last known pods in place."""
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                group.create_task(self._follow(namespace))

    async def _follow(self, namespace: str) -> None:
        while True:
            with suppress(StatusError, ConnectionError, TimeoutError):
                await self._list_and_watch(namespace)
            await self._clock.sleep(_RETRY_SECONDS)

    async def _list_and_watch(self, namespace: str) -> None:
        listed = await self._kube.list("pods", namespace)
        pods = self._pods[namespace] = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
        self._by_address = None
        version = listed["metadata"]["resourceVersion"]
        async for event in self._kube.watch("pods", namespace, resource_version=version):
            self._by_address = None
            if event["type"] in ("ADDED", "MODIFIED"):
                pods[event["object"]["metadata"]["uid"]] = event["object"]
            elif event["type"] == "DELETED":
                pods.pop(event["object"]["metadata"]["uid"], None)

    def groups(self) -> list[dict[str, Any]]:
        """The answer to Prometheus."""
        return [target_group(pod) for pod in self._all() if pod.get("status", {}).get("podIP")]

    def pod_at(self, address: str) -> KubeObject | None:
        """The pod that has an address now."""
        if self._by_address is None:
            self._by_address = {
                pod["status"]["podIP"]: pod
                for pod in self._all()
                if pod.get("status", {}).get("podIP") and pod["status"].get("phase") not in _OVER
            }
        return self._by_address.get(address)

    def _all(self) -> Iterator[KubeObject]:
        return (pod for pods in self._pods.values() for pod in pods.values())


def target_group(pod: KubeObject) -> dict[str, Any]:
    """One pod with an address, as a target group with kubernetes_sd's meta labels."""
    status = pod["status"]
    labels = {
        "__meta_kubernetes_namespace": namespace_of(pod),
        "__meta_kubernetes_pod_name": name_of(pod),
        "__meta_kubernetes_pod_ip": status["podIP"],
        "__meta_kubernetes_pod_phase": str(status.get("phase") or ""),
        "__meta_kubernetes_pod_uid": str(pod["metadata"].get("uid") or ""),
    }
    for kind, values in (
        ("label", labels_of(pod)),
        ("annotation", pod["metadata"].get("annotations") or {}),
    ):
        for key, value in values.items():
            labels[f"__meta_kubernetes_pod_{kind}_{_NOT_A_LABEL.sub('_', key)}"] = str(value)
    return {"targets": [status["podIP"]], "labels": labels}


def discovery_app(targets: PodTargets) -> web.Application:
    """The HTTP application; following the cluster starts and ends with it."""

    async def answer(_: web.Request) -> web.Response:
        if not targets.synced:  # an error keeps Prometheus' last list; an empty list would empty it
            raise web.HTTPServiceUnavailable(text="no list of pods yet\n")
        return web.json_response(targets.groups())

    async def following(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(targets.follow())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    app = web.Application()
    app.router.add_get("/targets", answer)
    app.cleanup_ctx.append(following)
    return app
