"""The fault injector's pod: `python -m lab.faults`.

Reads LAB_SEED, LAB_HOUR_SECONDS, LAB_TOIL (recurring | off), DATABASE_URL, LAB_ADMIN_TOKEN, AUDIT_URL
and PORT. In a cluster its journal is a ConfigMap; with FAULT_JOURNAL_FILE it is that file, and no cluster is
needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from lab.core.clock import SystemClock, TimeScale
from lab.errors import ConfigError
from lab.faults.audit import AuditTail
from lab.faults.automation import AUTOMATION, AutomationMedium
from lab.faults.cluster import CLUSTER, ClusterMedium
from lab.faults.fault import QUEUE
from lab.faults.injector import Injector
from lab.faults.journal import ConfigMapStore, FileStore, JournalStore
from lab.faults.medium import Medium
from lab.faults.neighbours import NEIGHBOURS, NeighbourMedium
from lab.faults.orders import ORDERS, OrderMedium
from lab.faults.queue_medium import QueueMedium
from lab.faults.registry import FAULTS
from lab.faults.rows import ROWS, RowMedium
from lab.faults.scheduler import Scheduler
from lab.faults.server import FaultsApi, application
from lab.faults.services import SERVICES, ServiceMedium
from lab.faults.sessions import SESSIONS, SessionMedium
from lab.faults.shop_queue import HolderVictims, PodVictims, ShopQueue, Victims
from lab.kube.client import KubeClient
from lab.metrics.pod import run, serve


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """What the pod reads from its environment. journal_file: empty in a cluster."""

    seed: int
    scale: TimeScale
    toil: bool
    database_url: str
    token: str
    journal_file: str
    port: int
    audit_url: str = ""

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> FaultSettings:
        """Read it. Raises ConfigError naming what is wrong."""
        toil = env.get("LAB_TOIL") or "recurring"
        problems = [] if toil in ("recurring", "off") else [f"LAB_TOIL is recurring or off, not {toil!r}"]
        try:
            seed, port = int(env.get("LAB_SEED") or 1), int(env.get("PORT") or 8080)
            scale = TimeScale(float(env.get("LAB_HOUR_SECONDS") or 60))
        except ValueError as error:
            problems.append(f"LAB_SEED, PORT and LAB_HOUR_SECONDS are numbers: {error}")
        if not env.get("DATABASE_URL"):
            problems.append("DATABASE_URL is empty")
        if problems:
            raise ConfigError("the pod's environment is not valid", problems)
        return cls(
            seed,
            scale,
            toil == "recurring",
            env["DATABASE_URL"],
            env.get("LAB_ADMIN_TOKEN", ""),
            env.get("FAULT_JOURNAL_FILE", ""),
            port,
            env.get("AUDIT_URL") or "http://gateway.lab-system.svc:8081",
        )


async def main() -> None:
    """The pod. Ready means: journal read, database and API answer."""
    settings = FaultSettings.from_environment()
    queue, registry = ShopQueue(settings.database_url), CollectorRegistry()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(queue.close)
        store: JournalStore
        victims: Victims
        clock, seed, scale = SystemClock(), settings.seed, settings.scale
        media: dict[str, Medium] = {}
        if settings.journal_file:
            store, victims = FileStore(Path(settings.journal_file)), HolderVictims(queue)
        else:
            kube = await stack.enter_async_context(KubeClient.from_environment(user_agent="lab-faults"))
            store, victims = ConfigMapStore(kube), PodVictims(kube)
            media[ROWS] = RowMedium(kube, FAULTS, seed=seed, scale=scale, clock=clock)
            media[AUTOMATION] = automation = AutomationMedium(
                kube,
                AuditTail(settings.audit_url, settings.token),
                FAULTS,
                token=settings.token,
                clock=clock,
            )
            stack.push_async_callback(automation.close)
            media[CLUSTER] = ClusterMedium(kube, FAULTS, scale=scale, clock=clock)
            media[NEIGHBOURS] = NeighbourMedium(kube, FAULTS, clock=clock)
        media[QUEUE] = QueueMedium(queue, victims, FAULTS, scale, clock)
        media[ORDERS] = OrderMedium(queue)
        media[SERVICES] = ServiceMedium(queue, FAULTS, seed=seed, scale=scale, clock=clock)
        media[SESSIONS] = sessions = SessionMedium(settings.database_url, queue, FAULTS)
        stack.push_async_callback(sessions.close)
        injector = Injector(media, store, seed=seed, scale=scale, clock=clock, registry=registry)
        scheduler = Scheduler(injector, toil=settings.toil)
        stop = asyncio.Event()
        app = application(FaultsApi(injector, scheduler), settings.token)

        async def background(_: web.Application) -> AsyncIterator[None]:
            working = asyncio.create_task(_work(injector, scheduler))
            working.add_done_callback(lambda _: stop.set())  # a pod that cannot work ends and is restarted
            yield
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working

        app.cleanup_ctx.append(background)
        await serve(app, port=settings.port, ready=lambda: injector.ready, registry=registry, stop=stop)


async def _work(injector: Injector, scheduler: Scheduler) -> None:
    await injector.start()
    await asyncio.gather(injector.run(), scheduler.run())


if __name__ == "__main__":
    run(main)
