"""The medium of neighbours: pods that the injector makes beside the shop's, and takes away again.

A pod carries the label toil-lab/fault: <entry>. Its name follows from the entry: made twice, it is one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from lab.core.clock import Clock
from lab.core.fault import MARK, FaultSpec, FaultTarget, JournalEntry
from lab.faults.fault import NAMESPACE
from lab.faults.medium import Fault, NoVictimError, OccupiedError, Situation
from lab.kube.client import KubeClient
from lab.kube.objects import KubeObject, labels_of, name_of
from lab.kube.status import StatusError

NEIGHBOURS = "neighbours"
"""Name of the medium."""

_LOOK_SECONDS = 1.0
_OVER = ("Failed", "Succeeded")
_ORDINARY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_HARMLESS = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""As the shop's own pods: a namespace may refuse others. It takes processor time, not rights."""


class NeighbourFault(Protocol):
    """A fault that is a pod. app: its label `app`, and the beginning of its name."""

    spec: FaultSpec
    medium: str
    app: str

    def command(self, parameters: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
        """What the pod runs, and its environment."""


class NeighbourMedium:
    """One such pod of a kind at a time on a node."""

    def __init__(self, kube: KubeClient, faults: Mapping[str, Fault], *, clock: Clock) -> None:
        self._kube = kube
        self._faults = {n: cast(NeighbourFault, f) for n, f in faults.items() if f.medium == NEIGHBOURS}
        self._clock = clock
        self._looked = float("-inf")

    async def choose(
        self, fault: Fault, values: Mapping[str, Any], situation: Situation
    ) -> list[FaultTarget]:
        """A node on which pods of the shop run."""
        pods = (await self._kube.list("pods", NAMESPACE))["items"]
        nodes = sorted(
            {pod["spec"].get("nodeName") or "" for pod in pods if MARK not in labels_of(pod)} - {""}
        )
        wanted = values.get("node")
        if wanted is not None and wanted not in nodes:
            raise NoVictimError(
                f"no pod of the shop is on a node {wanted!r}", hint=f"there are some on {', '.join(nodes)}"
            )
        taken = {entry.target.name for entry in situation.held if entry.fault == fault.spec.name}
        free = [node for node in nodes if node not in taken and wanted in (None, node)]
        if not nodes:
            raise NoVictimError("no pod of the shop is on any node")
        if not free:
            raise OccupiedError(
                f"{wanted or 'each node of the shop'} has a {fault.spec.name} already", hint="heal it first"
            )
        return [FaultTarget("Node", "", situation.chance.choice(free))]

    async def prepare(self, entry: JournalEntry) -> Mapping[str, Any]:
        """The pod is all there is."""
        return {}

    async def apply(self, entries: Sequence[JournalEntry]) -> None:
        """Make the pods."""
        for entry in entries:
            pod = self._pod(entry)
            try:
                await self._kube.create("pods", pod, NAMESPACE)
            except StatusError as error:
                if error.code != 409 or await self._find(entry) is None:
                    raise

    async def undo(self, entries: Sequence[JournalEntry]) -> None:
        """Delete the pods."""
        for entry in entries:
            pod = await self._find(entry)
            if pod is not None:
                await self._delete(pod)

    async def ended(self, entries: Sequence[JournalEntry]) -> Mapping[str, str]:
        """Those whose pod somebody has deleted, or that has come to an end."""
        over: dict[str, str] = {}
        for entry in entries:
            pod = await self._find(entry)
            if pod is None or _going(pod) or pod.get("status", {}).get("phase") in _OVER:
                over[entry.id] = "repair"
        return over

    async def agree(self, entries: Sequence[JournalEntry]) -> None:
        """Delete, about once a second, pods of entries that are not open."""
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        known = {entry.id for entry in entries}
        for pod in (await self._kube.list("pods", NAMESPACE, label_selector=MARK))["items"]:
            if labels_of(pod)[MARK] not in known and not _going(pod):
                await self._delete(pod)
        self._looked = now

    async def _find(self, entry: JournalEntry) -> KubeObject | None:
        """The entry's pod, and no other of its name."""
        try:
            pod = await self._kube.get("pods", self._name(entry), NAMESPACE)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        return pod if labels_of(pod).get(MARK) == entry.id else None

    async def _delete(self, pod: KubeObject) -> None:
        try:
            await self._kube.delete("pods", name_of(pod), NAMESPACE, uid=pod["metadata"]["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    def _name(self, entry: JournalEntry) -> str:
        return f"{self._faults[entry.fault].app}-{entry.id.rpartition('-')[2]}"

    def _pod(self, entry: JournalEntry) -> KubeObject:
        fault = self._faults[entry.fault]
        command, env = fault.command(entry.parameters)
        address = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
        container: KubeObject = {
            "name": fault.app,
            "image": os.environ.get("LAB_IMAGE") or "toil-lab",
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "env": [address, *({"name": name, "value": value} for name, value in env.items())],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "4Gi"}},
            "securityContext": _HARMLESS,
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self._name(entry),
                "namespace": NAMESPACE,
                "labels": {"app": fault.app, MARK: entry.id},
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
            },
            "spec": {
                "nodeName": entry.target.name,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 1,
                "securityContext": _ORDINARY,
                "containers": [container],
            },
        }


def _going(pod: KubeObject) -> bool:
    return "deletionTimestamp" in pod["metadata"]
