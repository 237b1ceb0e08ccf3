"""The Node object of a virtual node, and its heartbeat."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from lab.core.clock import Clock, rfc3339
from lab.kube.objects import KubeObject
from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.kubelet.context import kube_time
from lab.localkube.protocols import Registry

log = logging.getLogger(__name__)

NODES = builtin("Node")
LEASES = builtin("Lease")
NAMESPACES = builtin("Namespace")
LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40.0
"""Upstream's; the lease is renewed four times as often."""
STATUS_SECONDS = 300.0
LEAST_CPUS = 8
"""Processor time is not enforced, so a small machine still offers this many processors to the scheduler."""
MAX_PODS = 250


def node_capacity() -> tuple[float, int]:
    """Processors and bytes of memory that the node offers."""
    return float(max(LEAST_CPUS, os.cpu_count() or 1)), psutil.virtual_memory().total


class Heartbeat:
    """Registers the node and renews its lease.

    labels: those that it has beside the usual ones. lease_seconds: how long it may be silent.
    """

    def __init__(
        self,
        registry: Registry,
        clock: Clock,
        name: str,
        address: str,
        version: str,
        *,
        labels: Mapping[str, str],
        lease_seconds: float,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._name = name
        self._address = address
        self._version = version
        self._labels = labels
        self._lease_seconds = lease_seconds

    async def run(self, returned: Callable[[], None]) -> None:
        """Beat until cancelled; the first beat is `register`.

        `returned` is called when the cluster had given the node up, as after a pause of the whole machine.
        """
        every = self._lease_seconds / 4
        silent = 0.0
        while True:
            await self._clock.sleep(every)
            silent += every
            self._renew()
            lost = self._given_up()
            if not lost and silent < STATUS_SECONDS:
                continue
            try:
                self.register()
            except StatusError as error:
                log.warning("the status of node %s is not written: %s", self._name, error.message)
                continue
            silent = 0.0
            if lost:
                returned()

    def find(self) -> KubeObject | None:
        """The Node object, if there is one."""
        try:
            return self._registry.get(NODES, "", self._name)
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    def _given_up(self) -> bool:
        conditions = ((self.find() or {}).get("status") or {}).get("conditions") or ()
        return any(each.get("type") == "Ready" and each.get("status") == "Unknown" for each in conditions)

    def register(self) -> None:
        """Create the Node, or take it over, and say that it is ready."""
        node = self.find() or self._registry.create(NODES, "", self._node())
        labels = {**self._node()["metadata"]["labels"], **(node["metadata"].get("labels") or {})}
        if labels != node["metadata"].get("labels"):
            node = self._registry.update(
                NODES, "", self._name, {**node, "metadata": {**node["metadata"], "labels": labels}}
            )
        status = {**(node.get("status") or {}), **self._status(node)}
        self._registry.update(NODES, "", self._name, {**node, "status": status}, subresource="status")
        self._renew()

    def _node(self) -> KubeObject:
        labels = {
            "kubernetes.io/hostname": self._name,
            "kubernetes.io/os": sys.platform,
            "kubernetes.io/arch": _architecture(),
            **self._labels,
        }
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._name, "labels": labels}}

    def _status(self, node: KubeObject) -> dict[str, Any]:
        cpu, memory = node_capacity()
        amounts = {"cpu": f"{cpu:g}", "memory": f"{memory // 1024}Ki", "pods": str(MAX_PODS)}
        amounts["ephemeral-storage"] = f"{psutil.disk_usage('/').total // 1024}Ki"
        return {
            "capacity": amounts,
            "allocatable": amounts,
            "addresses": [
                {"type": "InternalIP", "address": self._address},
                {"type": "Hostname", "address": self._name},
            ],
            "conditions": self._conditions((node.get("status") or {}).get("conditions") or ()),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": _architecture(),
                "bootID": "",
                "containerRuntimeVersion": "localkube://1",
                "kernelVersion": platform.release(),
                "kubeProxyVersion": self._version,
                "kubeletVersion": self._version,
                "machineID": "",
                "operatingSystem": sys.platform,
                "osImage": f"{platform.system()} processes",
                "systemUUID": "",
            },
        }

    def _conditions(self, before: Any) -> list[dict[str, Any]]:
        old = {item["type"]: item for item in before}
        now = kube_time(self._clock.now())
        facts = {
            "MemoryPressure": (
                "False",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ),
            "DiskPressure": ("False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            "PIDPressure": ("False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            "Ready": ("True", "KubeletReady", "kubelet is posting ready status"),
        }
        return [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": old[kind].get("lastTransitionTime", now)
                if old.get(kind, {}).get("status") == status
                else now,
            }
            for kind, (status, reason, message) in facts.items()
        ]

    def _renew(self) -> None:
        now = rfc3339(self._clock.now())
        seconds = max(1, round(self._lease_seconds))
        spec = {"holderIdentity": self._name, "leaseDurationSeconds": seconds, "renewTime": now}
        try:
            lease = self._registry.get(LEASES, LEASE_NAMESPACE, self._name)
            self._registry.update(LEASES, LEASE_NAMESPACE, self._name, {**lease, "spec": spec})
        except StatusError as error:
            if error.code != 404:
                return
            self._create_lease(spec)

    def _create_lease(self, spec: dict[str, Any]) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": LEASE_NAMESPACE},
            "spec": spec,
        }
        try:
            self._registry.create(LEASES, LEASE_NAMESPACE, lease)
        except StatusError as error:
            if error.code != 404:
                return
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE}}
            self._registry.create(NAMESPACES, "", namespace)
            self._registry.create(LEASES, LEASE_NAMESPACE, lease)


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
