"""One pod's life on this node, from its address to its removal. Source: pkg/kubelet/pod_workers.go."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterable

from lab.core.clock import parse_rfc3339
from lab.kube.objects import KubeObject
from lab.kube.resources import builtin
from lab.kube.status import StatusError
from lab.localkube.kubelet.addresses import network_name
from lab.localkube.kubelet.beginning import first_statuses
from lab.localkube.kubelet.container import ContainerWorker
from lab.localkube.kubelet.context import Node, PodContext
from lab.localkube.kubelet.podfields import MissingReference, PodPlace
from lab.localkube.kubelet.status import ContainerStatus, PodFacts, pod_status
from lab.localkube.kubelet.volumes import PodVolumes
from lab.localkube.kubelet.waiting import end, first_of
from lab.localkube.protocols import DeleteOptions

log = logging.getLogger(__name__)

PODS = builtin("Pod")
FORCED_GRACE = 1.0
"""Seconds that the processes of a pod get which is gone from the API already."""
EVICTION_GRACE = 1.0
"""Seconds that the processes of an evicted pod get, as upstream's."""
RETRY_SECONDS = 1.0
"""Pause before a write is tried again that the API refused, as an admission policy may."""


class PodWorker:
    """Runs one pod. `run` ends when the pod is gone from this node."""

    def __init__(self, node: Node, pod: KubeObject) -> None:
        self.context = PodContext(node, pod, self._changed)
        self._node = node
        self._stop = asyncio.Event()
        self._write_pending = False
        self._gone = False
        self._keep = False
        self._grace = FORCED_GRACE
        self._moved = asyncio.Event()
        self._vanished = asyncio.Event()
        self._evicted = asyncio.Event()
        self._updated = asyncio.Event()
        self._eviction = ""
        self._retry: asyncio.Task[None] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        status = pod.get("status") or {}
        self._place = PodPlace("", node.address, node.cpu, node.memory)
        inits, mains, ephemerals = first_statuses(pod)
        self._facts = PodFacts(
            inits=inits,
            mains=mains,
            ephemerals=ephemerals,
            host_ip=node.address,
            start_time=status.get("startTime") or node.now(),
        )
        self._volumes = self._make_volumes()
        self.containers: dict[str, ContainerWorker] = {}
        if status.get("phase") in ("Succeeded", "Failed"):
            self._facts.phase = status["phase"]
            self._facts.reason = status.get("reason") or ""
            self._facts.message = status.get("message") or ""

    @property
    def pod(self) -> KubeObject:
        """The newest object seen."""
        return self.context.pod

    @property
    def active(self) -> bool:
        """Whether it runs, or begins to, and nobody has asked it to end."""
        return not (self._facts.phase or self._stop.is_set() or self._evicted.is_set())

    def evict(self, message: str) -> None:
        """Stop it and let it have failed, for the reason that the message says."""
        self._eviction = message
        self._evicted.set()

    def update(self, pod: KubeObject) -> None:
        """Take a newer object; a deletion mark stops the pod."""
        before, self.context.pod, self._volumes.pod = self.pod, pod, pod
        if pod["metadata"].get("deletionTimestamp"):
            self._request_stop(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
        if any(pod["metadata"].get(key) != before["metadata"].get(key) for key in ("labels", "annotations")):
            self.refresh()
        if pod["spec"].get("readinessGates"):
            self._changed()
        if pod["spec"] != before["spec"]:
            self._updated.set()
            if self._facts.network_ready and self.active:
                self._take_containers()

    def _take_containers(self) -> None:
        """Give containers their new definition, and start ephemeral ones that have come."""
        spec = self.pod["spec"]
        for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
            worker = self.containers.get(container["name"])
            if worker is not None and worker.spec["image"] != container["image"]:
                worker.redefine(container)
                self.context.references_changed()
        known = {status.name for status in self._facts.ephemerals}
        for container in spec.get("ephemeralContainers") or ():
            if container["name"] not in known:
                status = ContainerStatus(container["name"], container["image"])
                self._facts.ephemerals.append(status)
                worker = self._worker(container, status, "Never", "ephemeralContainers")
                self._tasks[worker.name] = asyncio.create_task(worker.run(), name=worker.name)
                self._changed()

    def vanish(self, grace: float = FORCED_GRACE, *, keep: bool = False) -> None:
        """Stop without a word to the API: the object is gone, or this kubelet goes and its files stay."""
        self._gone, self._keep = True, keep
        self._vanished.set()
        self._request_stop(grace)

    def lose_power(self) -> None:
        """Kill all its processes at once; nothing more is written, and its files stay. Then cancel `run`."""
        self._gone = self._keep = self.context.silent = True
        for worker in self.containers.values():
            worker.kill()

    def report(self) -> None:
        """Write the status again, as somebody else has written one."""
        self._changed()

    def refresh(self, *, renew_token: bool = False) -> None:
        """Bring volumes up to date after a ConfigMap or Secret changed, and wake who waits for one."""
        if self._facts.network_ready and self.active:
            try:
                self._volumes.sync(renew_token=renew_token)
            except (MissingReference, StatusError, OSError) as error:
                log.debug("volumes of %s are not refreshed: %s", self.context.title, error)
        self.context.references_changed()

    def _request_stop(self, grace: float) -> None:
        self._stop.set()
        self._grace = grace
        self._ask_to_end(grace)

    def _ask_to_end(self, grace: float) -> None:
        """All containers at once; sidecars run their preStop hooks and wait for their turn."""
        for worker in self.containers.values():
            worker.request_stop(grace, in_turn=worker.status.restartable_init)

    async def run(self) -> None:
        """See the module's text."""
        if self.pod["metadata"].get("deletionTimestamp"):
            self.update(self.pod)
        living = asyncio.create_task(self._live()) if not self._facts.phase else None
        try:
            if living:
                await self._wait_for_end(living)
                if not living.done() and not self._stop.is_set():
                    await (self._evict(living) if self._evicted.is_set() else self._deadline_exceeded(living))
                if living.done() and not living.cancelled() and living.exception():
                    log.error("pod %s", self.context.title, exc_info=living.exception())
                if not self._stop.is_set():
                    await self._end_containers(self._own_grace)
                    self._changed()
            await self._stop.wait()
            await end(living)
            await self._end_containers(self._grace)
            await self._leave()
        finally:
            await end(living, self._retry, *self._tasks.values())
            if self._place.pod_ip:
                self._node.addresses.release(self._place.pod_ip)
        if not self._keep:
            await asyncio.to_thread(shutil.rmtree, self.context.directory, True)

    async def _live(self) -> None:
        """Bring the pod up, and return when all its containers have ended for good.

        They start in order, each when the one before was tried: with a postStart hook, when that is done.
        """
        address = self._node.addresses.take(network_name(self.pod))
        self._place = PodPlace(address, self._node.address, self._node.cpu, self._node.memory)
        self._facts.pod_ip = address
        self._volumes = self._make_volumes()
        self._changed()
        await self._mount()
        self._facts.network_ready = True
        self._changed()
        self._take_containers()
        if not await self._run_inits():
            return
        spec = self.pod["spec"]
        policy = spec.get("restartPolicy", "Always")
        for container, status in zip(spec["containers"], self._facts.mains, strict=True):
            worker = self._worker(container, status, policy, "containers")
            task = self._tasks[worker.name] = asyncio.create_task(worker.run(), name=worker.name)
            await first_of(self._node.clock, None, task, worker.attempted.wait())
        names = [container["name"] for container in spec["containers"]]
        await asyncio.gather(*(asyncio.shield(self._tasks[name]) for name in names))

    def _worker(self, spec: KubeObject, status: ContainerStatus, restart: str, field: str) -> ContainerWorker:
        worker = ContainerWorker(
            self.context, spec, status, self._volumes, self._place, restart=restart, field=field
        )
        self.containers[worker.name] = worker
        if self._stop.is_set():
            worker.request_stop(self._grace, in_turn=status.restartable_init)
        return worker

    async def _mount(self) -> None:
        delay = 0.5
        while True:
            try:
                self._volumes.sync()
                return
            except (MissingReference, StatusError, OSError) as error:
                self.context.event("Warning", "FailedMount", str(error))
            await first_of(self._node.clock, delay, self.context.references.wait())
            delay = min(delay * 2, 30.0)

    async def _run_inits(self) -> bool:
        """Init containers in order; False when one failed for good. Sidecars go on beside the rest."""
        spec = self.pod["spec"]
        for container, status in zip(spec.get("initContainers") or (), self._facts.inits, strict=True):
            always = status.restartable_init
            policy = "Always" if always else _init_policy(spec.get("restartPolicy", "Always"))
            worker = self._worker(container, status, policy, "initContainers")
            task = self._tasks[worker.name] = asyncio.create_task(worker.run(), name=worker.name)
            while always and not status.started and not task.done():
                await self._change_of(task)
            if not always:
                await asyncio.shield(task)
            if not status.init_done:
                return False
        return True

    async def _change_of(self, task: asyncio.Task[None]) -> None:
        self._moved = asyncio.Event()
        await first_of(self._node.clock, None, task, self._moved.wait())

    async def _wait_for_end(self, living: asyncio.Task[None]) -> None:
        """Wait until it has ended, or is to end: by its deadline too, which may change meanwhile."""
        left = self._time_left()
        while left is None or left > 0:
            self._updated.clear()
            waits = (living, self._stop.wait(), self._evicted.wait())
            await first_of(self._node.clock, left, *waits, self._updated.wait())
            if living.done() or not self.active:
                return
            left = self._time_left()

    def _time_left(self) -> float | None:
        limit = self.pod["spec"].get("activeDeadlineSeconds")
        if limit is None:
            return None
        age = (self._node.clock.now() - parse_rfc3339(self._facts.start_time)).total_seconds()
        return max(0.0, float(limit) - age)

    @property
    def _own_grace(self) -> float:
        return float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))

    async def _deadline_exceeded(self, living: asyncio.Task[None]) -> None:
        message = "Pod was active on the node longer than the specified deadline"
        self.context.event("Normal", "DeadlineExceeded", message)
        await self._fail("DeadlineExceeded", message, living, self._own_grace)

    async def _evict(self, living: asyncio.Task[None]) -> None:
        self.context.event("Warning", "Evicted", self._eviction)
        await self._fail("Evicted", self._eviction, living, EVICTION_GRACE)
        await asyncio.to_thread(shutil.rmtree, self.context.directory / "volumes", True)

    async def _fail(self, reason: str, message: str, living: asyncio.Task[None], grace: float) -> None:
        """End it. The status says why together with the phase, and that when the last container has ended."""
        self._facts.phase, self._facts.reason, self._facts.message = "Failed", reason, message
        await end(living)
        await self._end_containers(grace)
        self._changed()

    async def _end_containers(self, grace: float) -> None:
        """Main containers together, then sidecars, the last started first, within one grace for all."""
        self._ask_to_end(grace)
        await self._ended(n for n, w in self.containers.items() if not w.status.restartable_init)
        for name, worker in reversed(self.containers.items()):
            worker.take_turn()
            await self._ended([name])

    async def _ended(self, names: Iterable[str]) -> None:
        tasks = [self._tasks[name] for name in names if name in self._tasks]
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                log.error("container of %s", self.context.title, exc_info=result)

    async def _leave(self) -> None:
        """Write the last status and take the object out of the API, however often that is refused."""
        codes = [s.terminated["exitCode"] for s in self._facts.mains if s.terminated]
        if not self._facts.phase:
            clean = len(codes) == len(self._facts.mains) and not any(codes)
            self._facts.phase = "Succeeded" if clean else "Failed"
        while not self._gone:
            self._write_status()
            if self._removed():
                return
            await first_of(self._node.clock, RETRY_SECONDS, self._vanished.wait())

    def _removed(self) -> bool:
        """Delete the object; False when that was refused."""
        metadata = self.pod["metadata"]
        now = DeleteOptions(grace_period_seconds=0, preconditions={"uid": metadata["uid"]})
        try:
            self._node.registry.delete(PODS, metadata["namespace"], metadata["name"], now)
        except StatusError as error:
            if error.code not in (404, 409):
                log.warning("pod %s is not removed: %s", self.context.title, error.message)
                return False
        return True

    def _make_volumes(self) -> PodVolumes:
        directory = self.context.directory / "volumes"
        return PodVolumes(self._node.registry, self.pod, directory, self._place, self._node.access)

    def _changed(self) -> None:
        """Write the status soon; changes of one moment are one write."""
        self._moved.set()
        if not self._write_pending:
            self._write_pending = True
            asyncio.get_running_loop().call_soon(self._write_status)

    def _write_status(self) -> None:
        self._write_pending = False
        if self._gone:
            return
        metadata = self.pod["metadata"]
        registry = self._node.registry
        try:
            present = registry.get(PODS, metadata["namespace"], metadata["name"])
            if present["metadata"]["uid"] != metadata["uid"]:
                return
            status = pod_status(present, self._facts, self._node.now())
            if status != present.get("status"):
                registry.update(
                    PODS,
                    metadata["namespace"],
                    metadata["name"],
                    {**present, "status": status},
                    subresource="status",
                )
        except StatusError as error:
            if error.code != 404:
                log.warning("status of %s is not written: %s", self.context.title, error.message)
                self._write_later()

    def _write_later(self) -> None:
        if self._retry is None or self._retry.done() or self._retry is asyncio.current_task():
            self._retry = asyncio.create_task(self._wait_and_write())

    async def _wait_and_write(self) -> None:
        await self._node.clock.sleep(RETRY_SECONDS)
        self._write_status()


def _init_policy(policy: str) -> str:
    """Init containers run to success: Always means OnFailure for them."""
    return "OnFailure" if policy == "Always" else policy
