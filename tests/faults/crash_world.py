"""All that a fault may touch, as real as it is, and an injector that dies at a given step.

A step is a call of the API server, of the database, of the journal, or of a medium that talks to others by
itself. Only what is durable counts, so to die after one step is to die before the next.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from cluster_bench import ClusterBench, Dead, meant
from prometheus_client import CollectorRegistry
from shop_pods import until
from test_faults_automation import TOKEN, AutomationBench
from test_faults_in_cluster import worker
from test_faults_injector import HandClock

from lab.core.clock import SystemClock, TimeScale
from lab.core.fault_row import DIRECTIVES
from lab.faults.audit import AuditTail
from lab.faults.automation import AUTOMATION, AutomationMedium
from lab.faults.cluster import CLUSTER, ClusterMedium
from lab.faults.fault import QUEUE
from lab.faults.injector import Injector
from lab.faults.journal import NAME, FileStore, Journal
from lab.faults.medium import Medium
from lab.faults.neighbours import NEIGHBOURS, NeighbourMedium
from lab.faults.orders import ORDERS, OrderMedium
from lab.faults.queue_medium import QueueMedium
from lab.faults.registry import FAULTS, SPECS
from lab.faults.rows import ROWS, RowMedium
from lab.faults.services import SERVICES, ServiceMedium
from lab.faults.sessions import SESSIONS, SessionMedium
from lab.faults.shop_queue import HolderVictims, ShopQueue
from lab.kube.client import KubeClient
from lab.shop.database import connect

SCALE, SEED = TimeScale(60), 5
KINDS = (
    ("deployments", "shop"),
    ("deployments", "automation"),
    ("pods", "shop"),
    ("nodes", ""),
    ("configmaps", "lab-system"),
)
OF_OBJECTS = (ROWS, CLUSTER, NEIGHBOURS)
"""Media whose faults are seen in the API server."""

FOREIGN_SESSIONS = ("psql", "batch-import", "monthly-report")


class Steps:
    """Counts the steps of one life; the process ends before step `last` (0 is the first; None: it lives)."""

    def __init__(self, last: int | None = None) -> None:
        self.last, self.taken = last, 0

    def take(self) -> None:
        if self.taken == self.last:
            raise Dead
        self.taken += 1


class Stepped:
    """Another object, each call of which is a step."""

    def __init__(self, inner: Any, steps: Steps) -> None:
        self._inner, self._steps = inner, steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def call(*args: Any, **more: Any) -> Any:
            self._steps.take()
            return await method(*args, **more)

        return call


class World:
    """An API server, a database, a journal file, and for faults of the automation its runner."""

    def __init__(self, kube: KubeClient, url: str, folder: Path, medium: str) -> None:
        self.kube, self.url, self.folder, self.medium = kube, url, folder, medium
        self.journal_file = folder / "journal.json"
        self.clock: Any = SystemClock() if medium == AUTOMATION else HandClock()
        self.database = connect(url, "test")
        self.foreign: list[psycopg.Connection[Any]] = []
        self.runner: AutomationBench | None = None

    async def open(self) -> None:
        """Put in whom faults can hit, and what is none of their business."""
        if self.medium == AUTOMATION:
            folder = self.folder / "automation"
            folder.mkdir()
            self.runner = AutomationBench(self.kube, folder)
            await self.runner.open()
        elif self.medium in OF_OBJECTS:
            await self._furnish()
        else:
            self._fill()

    async def close(self) -> None:
        if self.runner is not None:
            await self.runner.close()
        for session in (*self.foreign, self.database):
            session.close()

    async def _furnish(self) -> None:
        bench, mark = ClusterBench(self.kube, self.journal_file), {"team": "shop"}
        for name, spec in (("api", {}), ("worker", {}), ("automation", {"replicas": 1})):
            made = await bench.create(name, **spec)
            place = made["metadata"]["namespace"]
            await self.kube.patch("deployments", name, {"metadata": {"annotations": mark}}, place)
        for name in ("one", "two"):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": mark}}
            node["status"] = {"nodeInfo": {"containerRuntimeVersion": "localkube://1"}}
            await self.kube.create("nodes", node)
            if self.medium == NEIGHBOURS:
                pod = worker(f"worker-{name}")
                pod["spec"]["nodeName"] = name
                await self.kube.create("pods", pod)
        notes = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}, "data": mark}
        await self.kube.create("configmaps", notes, "lab-system")

    def _fill(self) -> None:
        self.database.execute(
            "UPDATE shop.partitions SET holder = 'worker' || partition, lease_expires = 'infinity'"
        )
        for order in (("customer-import", "auth-1"), ("customer-7", "older-1")):
            self.database.execute(
                "INSERT INTO shop.orders (partition, customer, amount_cents, authorization_code)"
                " VALUES (1, %s, 100, %s)",
                order,
            )
        self.foreign = [psycopg.connect(self.url, application_name=name) for name in FOREIGN_SESSIONS]

    @asynccontextmanager
    async def life(self, steps: Steps) -> AsyncIterator[Injector]:
        """A process of the injector. When it ends, the system takes its connections and tasks back."""
        kube, inner = Stepped(self.kube, steps), ShopQueue(self.url)
        queue: Any = Stepped(inner, steps)
        sessions = SessionMedium(self.url, queue, FAULTS)
        # The automation's medium has tasks, which would take steps whenever they please: it is one part.
        audit = AuditTail(f"http://127.0.0.1:{self.runner.audit_port if self.runner else 0}", TOKEN)
        automation = AutomationMedium(self.kube, audit, FAULTS, token=TOKEN, clock=self.clock)
        media: dict[str, Any] = {
            ROWS: RowMedium(kube, FAULTS, seed=SEED, scale=SCALE, clock=self.clock),  # type: ignore[arg-type]
            CLUSTER: ClusterMedium(kube, FAULTS, scale=SCALE, clock=self.clock),  # type: ignore[arg-type]
            NEIGHBOURS: NeighbourMedium(kube, FAULTS, clock=self.clock),  # type: ignore[arg-type]
            QUEUE: QueueMedium(queue, HolderVictims(queue), FAULTS, SCALE, self.clock),
            ORDERS: OrderMedium(queue),
            SERVICES: ServiceMedium(queue, FAULTS, seed=SEED, scale=SCALE, clock=self.clock),
            SESSIONS: Stepped(sessions, steps),
            AUTOMATION: Stepped(automation, steps),
        }
        medium: Medium = media[self.medium]
        store: Any = Stepped(FileStore(self.journal_file), steps)
        how: dict[str, Any] = {"scale": SCALE, "clock": self.clock, "registry": CollectorRegistry()}
        try:
            yield Injector({self.medium: medium}, store, seed=SEED, **how)
        finally:
            await sessions.close()
            await automation.close()
            await inner.close()

    async def has_victims(self) -> bool:
        """Whether all is there that a fault can hit: a program that was killed is started again later."""
        return self.runner is None or (self.runner.program() is not None and await self.runner.runs())

    async def tick(self, injector: Injector) -> None:
        """Twice, and so late that the media look at the world each time."""

        async def ticked() -> bool:
            self.pass_time(1.1)
            await injector.tick()
            return injector.ready

        for _ in range(2):
            await until(ticked, "every part of the world answers")

    def pass_time(self, seconds: float) -> None:
        if isinstance(self.clock, HandClock):
            self.clock.seconds += seconds

    def on_disk(self) -> Journal:
        document = self.journal_file.read_bytes() if self.journal_file.exists() else None
        return Journal.from_bytes(document, SPECS)

    async def becomes(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> None:
        """Wait until the world is so: a server ends the sessions of a dead client a moment later."""

        async def so() -> bool:
            return wanted(await self.seen())

        await until(so, what)

    async def seen(self) -> dict[str, Any]:
        """All that faults of this medium change, and what is foreign to them."""
        if self.medium == AUTOMATION:
            return await self._seen_of_the_runner()
        if self.medium in OF_OBJECTS:
            return await self._objects()
        return self._rows()

    async def _objects(self) -> dict[str, Any]:
        seen: dict[str, Any] = {f"configmaps/{DIRECTIVES[1]}": {}}
        for kind, namespace in KINDS:
            for obj in (await self.kube.list(kind, namespace))["items"]:
                if "deletionTimestamp" in obj["metadata"] or obj["metadata"]["name"] == NAME:
                    continue
                name = f"{kind}/{obj['metadata']['name']}"
                seen[name] = obj.get("data") or {} if kind == "configmaps" else meant(obj)
        return seen

    def _rows(self) -> dict[str, Any]:
        read = self.database.execute
        return {
            "directives": read("SELECT id FROM chaos.directives ORDER BY id").fetchall(),
            "orders": read("SELECT id, authorization_code FROM shop.orders ORDER BY id").fetchall(),
            "sessions": read(
                "SELECT application_name, count(*) FROM pg_stat_activity WHERE application_name <> 'faults'"
                " AND backend_type = 'client backend' AND datname = current_database() GROUP BY 1 ORDER BY 1"
            ).fetchall(),
        }

    async def _seen_of_the_runner(self) -> dict[str, Any]:
        """Somebody else's injection is asked for again, which does nothing to one that bites."""
        assert self.runner is not None
        program, base = self.runner.program(), f"http://127.0.0.1:{self.runner.port}"
        key = hmac.new(b"another", b"lab", hashlib.sha256).hexdigest()
        async with aiohttp.ClientSession(base) as session:
            async with session.get("/metrics") as answer:
                metrics = answer.status
            async with session.post(f"/injections/{key}", json={"act": "metrics-frozen"}) as answer:
                foreign = (await answer.json())["active"]
        stopped = program is not None and program.status() == "stopped"
        spilt = [path.name for path in (self.runner.folder / "scratch").glob(".spill")]
        return {"stopped": stopped, "metrics": metrics, "foreign": foreign, "spilt": spilt}
