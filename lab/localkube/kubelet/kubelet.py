"""The kubelet: runs the pods bound to this node as local processes, and answers for their logs and commands.

watch of pods ──► PodWorker ──► ContainerWorker ──► process, probes, log
                      └──► status writes              (forked by the images' launcher)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.resources import Resource
from lab.kube.status import StatusError, bad_request, internal_error
from lab.localkube.images.launch import StartError
from lab.localkube.kubelet.container import ContainerWorker
from lab.localkube.kubelet.context import Node
from lab.localkube.kubelet.executing import run_beside
from lab.localkube.kubelet.heartbeat import Heartbeat
from lab.localkube.kubelet.logs import LogQuery, stream
from lab.localkube.kubelet.pod import PODS, PodWorker
from lab.localkube.kubelet.power import PowerSwitch
from lab.localkube.kubelet.storage import STORAGE_SECONDS, LocalStorage
from lab.localkube.kubelet.waiting import end, first_of
from lab.localkube.protocols import ContainerUsage, Streams, WatchEvent

log = logging.getLogger(__name__)

VERSION = "v1.32.0"
PORT = 10250
"""Where upstream's kubelet listens; here nobody does."""
SAMPLE_SECONDS = 1.0
"""How often memory limits are looked at."""
TOKEN_RENEWAL_SECONDS = 300.0
"""Half of the shortest life that a pod can ask for its token."""
JOIN_SECONDS = 1.0
"""Pause before a node that was refused asks again."""
NOT_FOUND = 127
"""The exit code of a command that does not exist, as a shell has it."""
SHUTDOWN_GRACE = 0.3
"""Seconds that pods get when the kubelet itself is stopped: their data are disposable."""

_WHY_WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
"""What is said of a container without a log, where that is not the reason itself."""


class Kubelet:
    """One virtual node. `Nodes` makes all of a cluster and readies what they share.

    storage_seconds: how often limits of local storage are looked at.
    """

    def __init__(
        self,
        node: Node,
        heartbeat: Heartbeat,
        *,
        storage_seconds: float = STORAGE_SECONDS,
    ) -> None:
        self._node = node
        self._heartbeat = heartbeat
        self._power = PowerSwitch()
        self._registered = False
        self._workers: dict[str, PodWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._finished: set[str] = set()
        self._lost: dict[str, Path] = {}
        """Folders of the pods that ran when the power went, by uid."""
        self._storage = LocalStorage(node.clock, lambda: list(self._workers.values()), storage_seconds)

    def register(self) -> None:
        """Join the cluster, if the node has power."""
        self._power.follow(self._heartbeat.find())
        if self._power.on:
            self._heartbeat.register()
            self._registered = True

    async def run(self) -> None:
        """Be a node until cancelled; then the processes of all pods end, and their objects stay."""
        unsubscribe = self._node.registry.subscribe(self._on_change)
        self._power.follow(self._heartbeat.find())
        try:
            while True:
                await self._power.turned(True)
                await self._work_while_powered()
        finally:
            unsubscribe()
            await self._shut_down()

    async def _work_while_powered(self) -> None:
        try:
            if not self._registered:
                self.register()
        except StatusError as error:
            log.warning("node %s cannot join the cluster: %s", self._node.name, error.message)
            await self._node.clock.sleep(JOIN_SECONDS)
            return
        working = asyncio.create_task(self._work())
        try:
            await first_of(self._node.clock, None, working, self._power.turned(False))
            if working.done():
                working.result()
            self._lose_power()
        finally:
            await end(working)
        await end(*self._tasks.values())

    async def _work(self) -> None:
        await self._clean_up()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._heartbeat.run(self._report))
            group.create_task(self._watch_limits())
            group.create_task(self._storage.run())
            group.create_task(self._renew_tokens())
            group.create_task(self._follow_pods())

    def _lose_power(self) -> None:
        """Kill everything at once and say nothing: objects and files stay as they are."""
        log.warning("node %s has lost its power", self._node.name)
        self._registered = False
        for uid, worker in self._workers.items():
            self._lost[uid] = worker.context.directory
            worker.lose_power()

    async def _clean_up(self) -> None:
        """Remove the files of pods that went away while the power was off."""
        if self._lost:
            present = {pod["metadata"]["uid"] for pod in self._node.registry.list(PODS).items}
            for uid, directory in self._lost.items():
                if uid not in present:
                    await asyncio.to_thread(shutil.rmtree, directory, True)
            self._lost.clear()

    def _report(self) -> None:
        """Say again how the pods are: the cluster had given them up."""
        for worker in self._workers.values():
            worker.report()

    async def _shut_down(self) -> None:
        for worker in self._workers.values():
            worker.vanish(SHUTDOWN_GRACE, keep=True)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=SHUTDOWN_GRACE + 0.5)
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _follow_pods(self) -> None:
        """Watch this node's pods; when the watch breaks off, begin again from a list."""
        while True:
            try:
                selector = f"spec.nodeName={self._node.name}"
                watching = self._node.registry.watch(PODS, field_selector=selector)
                self._drop_missing(self._node.registry.list(PODS, field_selector=selector).items)
                async for event in watching:
                    self._take(event)
            except StatusError as error:
                log.info("the watch of pods begins again: %s", error.message)
            await self._node.clock.sleep(0.1)

    def _drop_missing(self, pods: Sequence[KubeObject]) -> None:
        present = {pod["metadata"]["uid"] for pod in pods}
        for uid in self._workers.keys() - present:
            self._workers[uid].vanish()

    def _take(self, event: WatchEvent) -> None:
        if event.type not in ("ADDED", "MODIFIED", "DELETED"):
            return
        uid = event.object["metadata"]["uid"]
        worker = self._workers.get(uid)
        if event.type == "DELETED":
            self._finished.discard(uid)
            if worker:
                worker.vanish()
        elif worker:
            worker.update(event.object)
        elif uid not in self._finished:
            worker = self._workers[uid] = PodWorker(self._node, event.object)
            task = self._tasks[uid] = asyncio.create_task(worker.run(), name=f"pod {worker.context.title}")
            task.add_done_callback(lambda task: self._done(uid, task))

    def _done(self, uid: str, task: asyncio.Task[None]) -> None:
        worker = self._workers.pop(uid)
        self._tasks.pop(uid)
        if task.cancelled():
            return
        metadata = worker.pod["metadata"]
        with contextlib.suppress(StatusError):
            present = self._node.registry.get(PODS, metadata["namespace"], metadata["name"])
            if present["metadata"]["uid"] == uid:
                self._finished.add(uid)  # something else still holds the object: do not run it again
        if task.exception() is not None:
            log.error("pod %s", worker.context.title, exc_info=task.exception())

    def _on_change(self, resource: Resource, event: WatchEvent) -> None:
        if resource.key == "nodes" and name_of(event.object) == self._node.name:
            self._power.follow(None if event.type == "DELETED" else event.object)
        if resource.key in ("configmaps", "secrets"):
            namespace = namespace_of(event.object)
            for worker in self._workers.values():
                if namespace_of(worker.pod) == namespace:
                    worker.refresh()

    async def _watch_limits(self) -> None:
        while True:
            await self._node.clock.sleep(SAMPLE_SECONDS)
            for worker in list(self._workers.values()):
                for container in worker.containers.values():
                    container.enforce_limits()

    async def _renew_tokens(self) -> None:
        while True:
            await self._node.clock.sleep(TOKEN_RENEWAL_SECONDS)
            for worker in list(self._workers.values()):
                worker.refresh(renew_token=True)

    def _pod(self, namespace: str, name: str) -> PodWorker:
        if not self._power.on:
            address = f"{self._node.address}:{PORT}"
            why = f"error dialing backend: dial tcp {address}: connect: no route to host"
            raise StatusError(500, "", why)
        for worker in self._workers.values():
            if name_of(worker.pod) == name and namespace_of(worker.pod) == namespace:
                return worker
        self._node.registry.get(PODS, namespace, name)
        raise bad_request(f'pod "{name}" is waiting to start: ContainerCreating')

    def _container(
        self, namespace: str, pod: str, container: str
    ) -> tuple[PodWorker, ContainerWorker | None]:
        """A container of a pod, None when it has not been reached yet. Raises StatusError 400 or 404."""
        worker = self._pod(namespace, pod)
        spec = worker.pod["spec"]
        names = [each["name"] for each in spec["containers"]]
        if not container:
            if len(names) > 1:
                choice = f"choose one of: [{' '.join(names)}]"
                raise bad_request(f"a container name must be specified for pod {pod}, {choice}")
            container = names[0]
        others = (*(spec.get("initContainers") or ()), *(spec.get("ephemeralContainers") or ()))
        if container not in {*names, *(each["name"] for each in others)}:
            raise bad_request(f"container {container} is not valid for pod {pod}")
        return worker, worker.containers.get(container)

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
        owner, found = self._container(namespace, pod, container)
        if since_seconds is not None:
            since_time = self._node.clock.now() - timedelta(seconds=since_seconds)
        query = LogQuery(follow, tail_lines, since_time, timestamps, limit_bytes)
        name = found.name if found else container or owner.pod["spec"]["containers"][0]["name"]
        directory = owner.context.directory / "logs" / name
        if previous:
            count = found.status.restart_count if found else 0
            waiting = bool(found and found.process is None and "waiting" in found.status.state)
            file = directory / f"{count if waiting and count_exists(directory, count) else count - 1}.log"
            if not file.exists():
                raise bad_request(f'previous terminated container "{name}" in pod "{pod}" not found')
            return stream(file, query)
        if found is not None and found.log is not None:
            return stream(found.log, query)
        kept = sorted(directory.glob("*.log"), key=lambda path: int(path.stem))
        if kept:
            return stream(kept[-1], query)
        state = found.status.state if found else {}
        reason = (state.get("waiting") or {}).get("reason") or "PodInitializing"
        why = _WHY_WAITING.get(reason, reason)
        raise bad_request(f'container "{name}" in pod "{pod}" is waiting to start: {why}')

    async def exec(
        self, namespace: str, pod: str, container: str, command: Sequence[str], streams: Streams
    ) -> int:
        """PodRuntime."""
        _, found = self._container(namespace, pod, container)
        if found is None:
            raise bad_request(f'container "{container}" in pod "{pod}" has not started')
        try:
            return await run_beside(found, self._node, command, streams)
        except StartError as error:
            take = streams.stdout if streams.tty else streams.stderr
            if take is not None:
                await take(f"{error}\n".encode())
            return NOT_FOUND

    async def attach(self, namespace: str, pod: str, container: str, streams: Streams) -> None:
        """PodRuntime."""
        _, found = self._container(namespace, pod, container)
        if found is None or found.console is None:
            raise internal_error(f"container {container} not found in pod {pod}_{namespace}")
        await found.console.attach(streams)

    def usage(self, pod: KubeObject, window: float) -> Mapping[str, ContainerUsage]:
        """PodRuntime."""
        worker = self._workers.get(pod["metadata"]["uid"])
        found: dict[str, ContainerUsage] = {}
        for name, container in worker.containers.items() if worker else ():
            if container.process is None:
                continue
            reading = container.meter.reading(container.process, window)
            if reading is None:
                return {}
            found[name] = reading
        return found


def count_exists(directory: Path, count: int) -> bool:
    """Whether a container in back-off has left the log of run `count` already."""
    return (directory / f"{count}.log").exists()
