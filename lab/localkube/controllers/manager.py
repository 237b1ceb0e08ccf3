"""Runs all controllers: one cache, one subscription, one work queue and one worker for each."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.core.clock import Clock
from lab.kube.resources import Resource
from lab.kube.status import StatusError
from lab.localkube.controllers.accounts import AccountController
from lab.localkube.controllers.aggregation import RoleAggregator
from lab.localkube.controllers.autoscaler import SYNC_SECONDS, AutoscalerController
from lab.localkube.controllers.autoscaler_replicas import UsageOf
from lab.localkube.controllers.base import ANY, NODE_GRACE, Context, Controller
from lab.localkube.controllers.cache import Cache, collection
from lab.localkube.controllers.cronjob import CronJobController
from lab.localkube.controllers.custom import CustomResourceController
from lab.localkube.controllers.daemonset import DaemonSetController
from lab.localkube.controllers.deployment import DeploymentController
from lab.localkube.controllers.disruption import DisruptionController
from lab.localkube.controllers.endpoints import EndpointsController
from lab.localkube.controllers.garbage import GarbageCollector
from lab.localkube.controllers.job import JobController
from lab.localkube.controllers.namespaces import NamespaceController
from lab.localkube.controllers.nodes import NodeLifecycle, TaintEviction
from lab.localkube.controllers.quota import QuotaController
from lab.localkube.controllers.replicaset import ReplicaSetController
from lab.localkube.controllers.scheduler import Scheduler
from lab.localkube.controllers.statefulset import StatefulSetController
from lab.localkube.controllers.sweep import EventSweeper, PodSweeper
from lab.localkube.controllers.volumes import VolumeBinder
from lab.localkube.protocols import Registry, WatchEvent

log = logging.getLogger(__name__)

Factory = Callable[[Context], Controller]

STANDARD: tuple[Factory, ...] = (
    Scheduler,
    ReplicaSetController,
    DeploymentController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    CronJobController,
    EndpointsController,
    DisruptionController,
    QuotaController,
    GarbageCollector,
    NamespaceController,
    CustomResourceController,
    NodeLifecycle,
    TaintEviction,
    PodSweeper,
    EventSweeper,
    RoleAggregator,
)


class Controllers:
    """The control loops of a cluster.

    ca_pem: the certificate authority that `kube-root-ca.crt` in each namespace carries. usage: what the
    containers of a pod use. autoscaler_sync: seconds between two looks at a HorizontalPodAutoscaler.
    node_grace: seconds without a renewed lease after which a node counts as lost.
    volumes: where claims get their directories; None leaves them pending.
    factories: which controllers; all of them by default.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        clock: Clock,
        ca_pem: str = "",
        node_grace: float = NODE_GRACE,
        volumes: Path | None = None,
        usage: UsageOf = lambda _: {},
        autoscaler_sync: float = SYNC_SECONDS,
        factories: Sequence[Factory] | None = None,
    ) -> None:
        self._registry = registry
        self._cache = Cache()
        context = Context(registry=registry, cache=self._cache, clock=clock, node_grace=node_grace)
        self._controllers = [make(context) for make in (STANDARD if factories is None else factories)]
        if factories is None:
            self._controllers.append(AccountController(context, ca_pem=ca_pem))
            self._controllers.append(AutoscalerController(context, usage=usage, sync=autoscaler_sync))
            if volumes is not None:
                self._controllers.append(VolumeBinder(context, volumes))
        self._listeners: dict[str, list[Controller]] = defaultdict(list)
        self._everywhere: list[Controller] = []
        for controller in self._controllers:
            if ANY in controller.listens:
                self._everywhere.append(controller)
            for key in controller.listens - {ANY}:
                self._listeners[key].append(controller)

    async def run(self) -> None:
        """Control the cluster until cancelled."""
        unsubscribe = self._registry.subscribe(self._changed)
        try:
            for resource, obj in self._cache.load(self._registry):
                self._notify(resource, WatchEvent("ADDED", obj, 0))
            for controller in self._controllers:
                controller.begin()
            async with asyncio.TaskGroup() as group:
                for controller in self._controllers:
                    group.create_task(self._work(controller), name=controller.name)
        finally:
            unsubscribe()
            for controller in self._controllers:
                controller.queue.close()

    def _changed(self, resource: Resource, event: WatchEvent) -> None:
        if event.type in ("BOOKMARK", "ERROR"):
            return
        self._cache.apply(resource, event)
        self._notify(resource, event)

    def _notify(self, resource: Resource, event: WatchEvent) -> None:
        for controller in (*self._listeners.get(collection(resource), ()), *self._everywhere):
            try:
                for key in controller.keys(resource, event):
                    controller.queue.add(key)
            except Exception:  # one bad object must not keep the others from being heard
                log.exception("%s cannot read a %s", controller.name, resource.kind)

    async def _work(self, controller: Controller) -> None:
        queue = controller.queue
        while True:
            key = await queue.get()
            try:
                again = controller.reconcile(key)
            except Exception as error:  # keeps the loop alive: every key is tried again, later and later
                delay = queue.retry(key)
                _report(controller, "/".join(key), error, delay)
            else:
                queue.forget(key)
                if again is not None:
                    queue.add_after(key, again)
            await asyncio.sleep(0)


def _report(controller: Controller, key: str, error: Exception, delay: float) -> None:
    """A conflict is ordinary; any other wire error deserves a line, a bug its traceback."""
    if isinstance(error, StatusError):
        level = logging.DEBUG if error.code == 409 else logging.INFO
        log.log(level, "%s %s: %s; again in %.3g s", controller.name, key, error.message, delay)
    else:
        log.error("%s %s failed; again in %.3g s", controller.name, key, delay, exc_info=error)
