"""The virtual nodes of a cluster: kubelets on one machine that share its processes, addresses and files.

Nodes ─┬─► Kubelet local     ─┐
       ├─► Kubelet local-2   ─┼─► one zygote, one ledger of processes, one range of pod addresses
       └─► Kubelet local-3   ─┘
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from lab.core.clock import Clock
from lab.kube.objects import KubeObject
from lab.kube.status import not_found
from lab.localkube.events import EventRecorder
from lab.localkube.images.images import Images
from lab.localkube.kubelet.addresses import PodAddresses
from lab.localkube.kubelet.backoff import UPSTREAM_CAP, BackoffPolicy
from lab.localkube.kubelet.context import Node
from lab.localkube.kubelet.heartbeat import LEASE_SECONDS, Heartbeat, node_capacity
from lab.localkube.kubelet.kubelet import VERSION, Kubelet
from lab.localkube.kubelet.ledger import ProcessLedger
from lab.localkube.kubelet.pod import PODS
from lab.localkube.kubelet.storage import STORAGE_SECONDS
from lab.localkube.kubelet.volume_files import ApiAccess, TokenSource
from lab.localkube.protocols import ContainerUsage, Registry, Streams

log = logging.getLogger(__name__)

FIRST = "local"
"""The first node's name; the others are `local-2`, `local-3` and so on."""
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
"""The label of the first node where there are several."""


class Nodes:
    """All nodes of a cluster. `run` them; this is the API server's PodRuntime.

    count: at least 1. data_dir: pods' files, and what is needed to clean up after a crash. block: the n of
    127.n.0.0/16. images: the images, or the path of their file (None: the one that comes with the lab).
    issue_token: where pods' tokens come from. api_server: the URL that pods use.
    backoff_max: the longest delay between restarts, in seconds; the other delays scale with it.
    lease_seconds: how long a node may be silent. storage_seconds: see Kubelet. warm: load at once what pods
    are forked from; otherwise the first pod does.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        count: int = 1,
        data_dir: Path,
        block: int,
        images: Images | Path | None,
        clock: Clock,
        issue_token: TokenSource,
        api_server: str,
        ca_file: Path,
        backoff_max: float = UPSTREAM_CAP,
        lease_seconds: float = LEASE_SECONDS,
        storage_seconds: float = STORAGE_SECONDS,
        warm: bool = True,
    ) -> None:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._registry = registry
        self._directory = data_dir
        self._images = images if isinstance(images, Images) else Images(images)
        self._warm = warm
        self._ledger = ProcessLedger(data_dir / "processes.json")
        self.kubelets: dict[str, Kubelet] = {}
        """By the name of the node, in order."""
        addresses = PodAddresses(block, data_dir / "next-address")
        access = ApiAccess(api_server, ca_file.read_text(), issue_token)
        backoff, api, (cpu, memory) = BackoffPolicy(backoff_max), urlsplit(api_server), node_capacity()
        for number in range(1, count + 1):
            name, address = FIRST if number == 1 else f"{FIRST}-{number}", f"127.{block}.0.{number}"
            node = Node(
                name=name,
                address=address,
                cpu=cpu,
                memory=memory,
                registry=registry,
                clock=clock,
                images=self._images,
                events=EventRecorder(registry, clock, "kubelet", name),
                ledger=self._ledger,
                addresses=addresses,
                backoff=backoff,
                access=access,
                api=(api.hostname or "", str(api.port or 443)),
                directory=data_dir,
            )
            labels = {CONTROL_PLANE: ""} if count > 1 and number == 1 else {}
            heartbeat = Heartbeat(
                registry, clock, name, address, VERSION, labels=labels, lease_seconds=lease_seconds
            )
            self.kubelets[name] = Kubelet(node, heartbeat, storage_seconds=storage_seconds)

    async def run(self) -> None:
        """Be all nodes until cancelled; then the processes of all pods end, and their objects stay."""
        for kubelet in self.kubelets.values():
            kubelet.register()
        try:
            await self._prepare()
            async with asyncio.TaskGroup() as group:
                for name, kubelet in self.kubelets.items():
                    group.create_task(kubelet.run(), name=f"node {name}")
        finally:
            await self._images.close()

    async def _prepare(self) -> None:
        """End and forget what earlier kubelets left, and get ready to start processes."""
        swept = await asyncio.to_thread(self._ledger.sweep)
        if swept:
            log.warning("ended %d processes that an earlier kubelet left", swept)
        self._images.launcher.on_start = self._ledger.add
        self._images.launcher.on_end = self._ledger.remove
        if self._warm:
            await self._images.start()
        self._forget_old_pods()

    def _forget_old_pods(self) -> None:
        """Remove the files of pods that went away while no kubelet ran."""
        root = self._directory / "pods"
        present = {pod["metadata"]["uid"] for pod in self._registry.list(PODS).items}
        for directory in root.iterdir() if root.exists() else ():
            if directory.name not in present:
                shutil.rmtree(directory, ignore_errors=True)

    def _of(self, pod: KubeObject) -> Kubelet:
        """The kubelet of a pod's node. Raises StatusError 404 when no kubelet is that node."""
        name = pod["spec"].get("nodeName") or FIRST
        if name not in self.kubelets:
            raise not_found("nodes", "", name)
        return self.kubelets[name]

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        """PodRuntime."""
        return self._of(self._registry.get(PODS, namespace, pod)).logs(
            namespace,
            pod,
            container,
            follow=follow,
            previous=previous,
            tail_lines=tail_lines,
            since_seconds=since_seconds,
            since_time=since_time,
            timestamps=timestamps,
            limit_bytes=limit_bytes,
        )

    async def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams
    ) -> int:
        """PodRuntime."""
        kubelet = self._of(self._registry.get(PODS, namespace, pod))
        return await kubelet.exec(namespace, pod, container, command, streams)

    async def attach(self, namespace: str, pod: str, container: str, streams: Streams) -> None:
        """PodRuntime."""
        kubelet = self._of(self._registry.get(PODS, namespace, pod))
        await kubelet.attach(namespace, pod, container, streams)

    def usage(self, pod: KubeObject, window: float) -> Mapping[str, ContainerUsage]:
        """PodRuntime."""
        name = pod["spec"].get("nodeName")
        return self.kubelets[name].usage(pod, window) if name in self.kubelets else {}
