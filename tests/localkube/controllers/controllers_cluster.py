"""A cluster without processes: the real registry and controllers, and a kubelet that only writes statuses."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import ipaddress
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lab.core.clock import SystemClock
from lab.kube.objects import KubeObject, labels_of
from lab.kube.resources import Resource, builtin
from lab.kube.status import StatusError
from lab.localkube.controllers.autoscaler_replicas import UsageOf
from lab.localkube.controllers.manager import Controllers
from lab.localkube.protocols import DeleteOptions, WatchEvent
from lab.localkube.registry.registry import open_registry

PODS = builtin("Pod")
Verdict = Callable[[KubeObject], str]
"""What becomes of a started pod: ready, unready, stuck, Succeeded or Failed."""


class Cluster:
    """The registry under control, with shorthands for tests."""

    def __init__(self, registry: Any, clock: Any) -> None:
        self.registry = registry
        self.clock = clock
        self.verdict: Verdict = lambda pod: "ready"
        self.linger = False
        """Keep deleted pods terminating until `bury` is called."""
        self.usage: UsageOf = lambda pod: {}
        """What the containers of a pod use."""
        self.seen: list[WatchEvent] = []
        self._ips = iter(ipaddress.ip_network("127.99.1.0/24").hosts())
        registry.subscribe(self._kubelet)

    def _kubelet(self, resource: Resource, event: WatchEvent) -> None:
        if resource.plural != "pods":
            return
        self.seen.append(event)
        if event.type != "DELETED" and event.object["spec"].get("nodeName"):
            metadata = event.object["metadata"]
            asyncio.get_running_loop().call_soon(self._attend, metadata["namespace"], metadata["name"])

    def _attend(self, namespace: str, name: str) -> None:
        try:
            pod = self.registry.get(PODS, namespace, name)
        except StatusError:
            return
        if pod["metadata"].get("deletionTimestamp"):
            if not self.linger:
                self.bury(pod)
        elif (pod.get("status") or {}).get("phase") in (None, "Pending"):
            self.mark(pod, self.verdict(pod))

    def bury(self, pod: KubeObject) -> None:
        """End a terminating pod."""
        metadata = pod["metadata"]
        with contextlib.suppress(StatusError):
            self.registry.delete(PODS, metadata["namespace"], metadata["name"], DeleteOptions(0))

    def mark(self, pod: KubeObject, verdict: str) -> None:
        """Write a status as a kubelet would."""
        if verdict == "stuck":
            return
        metadata = pod["metadata"]
        status = copy.deepcopy(self.registry.get(PODS, metadata["namespace"], metadata["name"])["status"])
        ready = "True" if verdict == "ready" else "False"
        status["phase"] = verdict if verdict in ("Succeeded", "Failed") else "Running"
        status.setdefault("podIP", str(next(self._ips)))
        kept = [c for c in status.get("conditions", []) if c["type"] not in ("Ready", "ContainersReady")]
        now = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        status.setdefault("startTime", now)
        status["conditions"] = kept + [
            {"type": type, "status": ready, "lastTransitionTime": now}
            for type in ("ContainersReady", "Ready")
        ]
        changed, mime = {"status": status}, "application/merge-patch+json"
        place = (metadata["namespace"], metadata["name"])
        self.registry.patch(PODS, *place, changed, mime, subresource="status")

    def create(self, kind: str, name: str, namespace: str = "default", **fields: Any) -> KubeObject:
        """Create an object; `metadata` among the fields is merged."""
        resource = builtin(kind, "" if kind == "Event" else None)
        metadata = {"name": name} | fields.pop("metadata", {})
        place = namespace if resource.namespaced else ""
        return self.registry.create(resource, place, {"metadata": metadata, **fields})

    def get(self, kind: str, name: str, namespace: str = "default") -> KubeObject:
        """One object."""
        resource = builtin(kind)
        return self.registry.get(resource, namespace if resource.namespaced else "", name)

    def gone(self, kind: str, name: str, namespace: str = "default") -> bool:
        """Is there no such object?"""
        try:
            self.get(kind, name, namespace)
        except StatusError as error:
            return error.code == 404
        return False

    def list(self, kind: str, namespace: str = "default", selector: str = "") -> list[KubeObject]:
        """Objects of a kind."""
        resource = builtin(kind, "" if kind == "Event" else None)
        return list(self.registry.list(resource, namespace, label_selector=selector).items)

    def patch(self, kind: str, name: str, patch: KubeObject, namespace: str = "default") -> KubeObject:
        """Strategic-merge-patch an object."""
        resource = builtin(kind)
        place = namespace if resource.namespaced else ""
        mime = "application/strategic-merge-patch+json"
        return self.registry.patch(resource, place, name, patch, mime)[0]

    def delete(self, kind: str, name: str, namespace: str = "default", policy: str | None = None) -> None:
        """Delete an object."""
        resource = builtin(kind)
        place = namespace if resource.namespaced else ""
        self.registry.delete(resource, place, name, DeleteOptions(propagation_policy=policy))

    def reasons(self, name: str, namespace: str = "default") -> list[str]:
        """The reasons of the events about an object of that name."""
        return [e["reason"] for e in self.list("Event", namespace) if e["involvedObject"]["name"] == name]

    def messages(self, reason: str, namespace: str = "default") -> list[str]:
        """The messages of the events of that reason."""
        return [e["message"] for e in self.list("Event", namespace) if e["reason"] == reason]

    async def until(self, condition: Callable[[], Any], seconds: float = 5.0) -> Any:
        """Wait for a condition; fails with the cluster's pods when it does not come true."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            try:
                found = condition()
            except StatusError as error:
                found = None
                why = error.message
            else:
                why = ""
            if found:
                return found
            if loop.time() > deadline:
                pods = [(p["metadata"]["name"], p.get("status", {}).get("phase")) for p in self.list("Pod")]
                raise AssertionError(f"did not come true in {seconds} s {why}; pods: {pods}")
            await asyncio.sleep(0.002)

    async def settle(self, rounds: int = 30) -> None:
        """Let everything that is runnable run, until no write has happened for some rounds."""
        quiet, before = 0, self.registry.rv
        while quiet < rounds:
            await asyncio.sleep(0)
            quiet = quiet + 1 if self.registry.rv == before else 0
            before = self.registry.rv


def add_node(cluster: Cluster, name: str = "node-1", **fields: Any) -> KubeObject:
    """A node with room for 110 pods, 8 processors and 16 GiB."""
    room = {"cpu": "8", "memory": "16Gi", "pods": "110"} | fields.pop("room", {})
    node = cluster.create("Node", name, **fields)
    status = {
        "allocatable": room,
        "capacity": room,
        "addresses": [{"type": "InternalIP", "address": "127.99.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    mime = "application/merge-patch+json"
    cluster.registry.patch(builtin("Node"), "", name, {"status": status}, mime, subresource="status")
    return node


def template(app: str, version: str = "1", **spec: Any) -> KubeObject:
    """A pod template of one container."""
    container = {
        "name": "main",
        "image": f"img:{version}",
        "ports": [{"name": "http", "containerPort": 8080}],
    }
    return {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]} | spec}


def deployment(cluster: Cluster, name: str, replicas: int, **spec: Any) -> KubeObject:
    """Create a Deployment."""
    body = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template(name)}
    return cluster.create("Deployment", name, spec=body | spec)


def active(pods: list[KubeObject]) -> list[KubeObject]:
    """Pods neither ended nor terminating."""
    return [
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    ]


def is_ready(pod: KubeObject) -> bool:
    """Is the Ready condition true?"""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def condition(obj: KubeObject, type: str) -> KubeObject:
    """A status condition, or an empty dictionary."""
    return next((c for c in obj.get("status", {}).get("conditions") or () if c["type"] == type), {})


def app_of(pod: KubeObject) -> str:
    """The label `app`."""
    return labels_of(pod).get("app", "")


@contextlib.asynccontextmanager
async def running_cluster(path: Path, clock: Any = None, *, node: bool = True) -> AsyncIterator[Cluster]:
    """A controlled cluster with one node."""
    clock = clock or SystemClock()
    registry = open_registry(
        path / "store", clock=clock, service_range=[f"127.99.200.{n}" for n in range(1, 100)]
    )
    cluster = Cluster(registry, clock)
    if node:
        add_node(cluster)
    controllers = Controllers(
        registry,
        clock=clock,
        ca_pem="CERTIFICATE",
        volumes=path / "volumes",
        usage=lambda pod: cluster.usage(pod),
    )
    task = asyncio.create_task(controllers.run())
    try:
        yield cluster
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        registry.close()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._waiting: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._now + timedelta(seconds=seconds), future))
        await future

    async def advance(self, cluster: Cluster, seconds: float, step: float = 1.0) -> None:
        """Let time pass in steps; everything settles after each."""
        end = self._now + timedelta(seconds=seconds)
        while self._now < end:
            await cluster.settle()
            self._now = min(end, self._now + timedelta(seconds=step))
            due = [future for at, future in self._waiting if at <= self._now]
            self._waiting = [(at, future) for at, future in self._waiting if at > self._now]
            for future in due:
                if not future.done():
                    future.set_result(None)
            await cluster.settle()
