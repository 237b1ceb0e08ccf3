"""Faults of the automation: a real program below its real runner, the real audit log, a real API server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry
from shop_pods import until
from shop_postgres import free_port
from test_faults_in_cluster import kube

from lab.core.audit import Decision, Mode
from lab.core.clock import SystemClock, TimeScale, rfc3339
from lab.errors import NotReadyError
from lab.faults.audit import AuditTail
from lab.faults.automation import AUTOMATION, AutomationMedium
from lab.faults.injector import Injector
from lab.faults.journal import FileStore
from lab.faults.medium import NoVictimError, OccupiedError
from lab.faults.registry import FAULTS
from lab.gateway.admin import admin_app
from lab.gateway.audit import AuditLog
from lab.kube.client import KubeClient

__all__ = ["kube"]
TOKEN = "a-token"
PROGRAM = "import time\nwhile True:\n    time.sleep(0.01)\n"
MANIFEST = "apiVersion: toil-lab/v1\nkind: Automation\nname: probe\nruntime: python\nentrypoint: main.py\n"


class AutomationBench:
    """The candidate's program, the pod as the API shows it, and injectors that come and go."""

    def __init__(self, kube: KubeClient, folder: Path) -> None:
        self.kube, self.folder, self.clock = kube, folder, SystemClock()
        self.book = AuditLog(folder / "audit.jsonl")
        self.port, self.audit_port = free_port(), free_port()
        self.made: list[AutomationMedium] = []
        self.process: asyncio.subprocess.Process
        self.server: web.AppRunner

    async def open(self) -> None:
        self.server = web.AppRunner(admin_app(self.book, TOKEN))
        await self.server.setup()
        await web.TCPSite(self.server, "127.0.0.1", self.audit_port).start()
        workspace, scratch = self.folder / "workspace", self.folder / "scratch"
        workspace.mkdir()
        scratch.mkdir()
        (workspace / "automation.yaml").write_text(MANIFEST)
        (workspace / "main.py").write_text(PROGRAM)
        env = {"PATH": os.environ["PATH"], "WORKSPACE_DIR": str(workspace), "SCRATCH_DIR": str(scratch)}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "lab.automation"),
            env=env | {"METRICS_PORT": str(self.port)},
            stdout=asyncio.subprocess.DEVNULL,
        )
        await until(self.runs, "the program runs")
        await self.pod("automation-1")

    async def close(self) -> None:
        for medium in self.made:
            await medium.close()
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()
        await self.server.cleanup()

    async def pod(self, name: str) -> None:
        annotations = {"prometheus.io/port": str(self.port)}
        labels = {"app": "automation"}
        pod: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "automation",
                "labels": labels,
                "annotations": annotations,
            },
            "spec": {"containers": [{"name": "automation", "image": "toil-lab"}]},
        }
        await self.kube.create("pods", pod)
        container = {
            "name": "automation",
            "containerID": "local://1",
            "ready": True,
            "restartCount": 0,
            "image": "toil-lab",
            "imageID": "",
            "state": {"running": {"startedAt": rfc3339(self.clock.now())}},
        }
        status = {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": [container]}
        await self.kube.patch("pods", name, {"status": status}, "automation", subresource="status")

    def injector(self) -> Injector:
        audit = AuditTail(f"http://127.0.0.1:{self.audit_port}", TOKEN)
        medium = AutomationMedium(self.kube, audit, FAULTS, token=TOKEN, clock=self.clock)
        self.made.append(medium)
        return Injector(
            {AUTOMATION: medium},
            FileStore(self.folder / "journal.json"),
            seed=5,
            scale=TimeScale(60),
            clock=self.clock,
            registry=CollectorRegistry(),
        )

    async def started(self) -> Injector:
        injector = self.injector()
        await injector.start()
        return injector

    async def runs(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{self.port}/readyz") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def program(self) -> psutil.Process | None:
        children = psutil.Process(self.process.pid).children()
        return children[0] if children else None

    def record(self, verb: str, decision: Decision) -> None:
        self.book.append(
            time=rfc3339(self.clock.now()),
            actor="automation",
            mode=Mode.LIVE,
            verb=verb,
            group="",
            resource="pods",
            subresource="",
            namespace="shop",
            name="worker-1",
            decision=decision,
            code=200,
            latency_ms=1.0,
            mutating=verb != "list",
        )


@pytest.fixture
async def bench(kube: KubeClient, tmp_path: Path) -> AsyncIterator[AutomationBench]:
    folder = tmp_path / "automation"
    folder.mkdir()
    made = AutomationBench(kube, folder)
    await made.open()
    yield made
    await made.close()


async def undone_by(injector: Injector, identity: str) -> str:
    await injector.tick()
    return injector.journal.entries[identity].undone_by


async def test_a_kill_comes_right_after_the_next_change_and_once(bench: AutomationBench) -> None:
    injector, first = await bench.started(), bench.program()
    bench.record("delete", Decision.ALLOWED)
    [entry] = await injector.inject("automation-killed")
    with pytest.raises(OccupiedError):
        await injector.inject("automation-killed")
    bench.record("list", Decision.ALLOWED)
    bench.record("delete", Decision.REFUSED)
    assert first is not None
    for _ in range(3):
        await bench.clock.sleep(0.1)
        assert await undone_by(injector, entry.id) == ""
    assert first.is_running()
    bench.record("delete", Decision.ALLOWED)

    async def killed() -> bool:
        return not first.is_running()

    await until(killed, "the program is killed")
    await until(lambda: undone_by(injector, entry.id), "the journal says so")
    assert injector.journal.entries[entry.id].undone_by == "itself"

    async def again() -> bool:
        return bench.program() is not None and await bench.runs()

    await until(again, "the runner starts it again")


async def test_a_pause_survives_the_injector_and_is_undone_by_its_successor(bench: AutomationBench) -> None:
    injector = await bench.started()
    [entry] = await injector.inject("automation-paused", 600)

    async def stopped() -> bool:
        program = bench.program()
        return program is not None and program.status() == psutil.STATUS_STOPPED

    await until(stopped, "the program stands still")
    assert await bench.runs(), "the pod is ready all along"
    successor = await bench.started()
    await successor.tick()
    assert await stopped()
    await successor.undo(successor.journal.open(), "heal")
    assert not await stopped()
    assert successor.journal.entries[entry.id].undone_by == "heal"
    [again] = await successor.inject("automation-paused", 600)
    await until(stopped, "the program stands still once more")
    program = bench.program()
    assert program is not None
    program.kill()
    await until(lambda: undone_by(successor, again.id), "a new program is not the one that was paused")
    assert successor.journal.entries[again.id].undone_by == "restart"


async def test_a_pod_that_is_replaced_ends_its_fault(bench: AutomationBench) -> None:
    injector = await bench.started()
    [entry] = await injector.inject("automation-metrics", parameters={"how": "frozen"})
    await bench.kube.delete("pods", "automation-1", "automation", grace_period_seconds=0)
    assert await undone_by(injector, entry.id) == "restart"
    with pytest.raises(NoVictimError, match="no automation runs"):
        await injector.inject("automation-paused")


async def test_a_runner_or_an_audit_log_that_is_away_is_told(bench: AutomationBench) -> None:
    injector = await bench.started()
    await bench.server.cleanup()
    with pytest.raises(NotReadyError, match="the audit log cannot be read"):
        await injector.inject("automation-killed")
    programs = psutil.Process(bench.process.pid).children(recursive=True)
    bench.process.kill()
    await bench.process.wait()
    for program in programs:
        program.kill()  # outside of a pod nobody else ends what the runner started
    with pytest.raises(NotReadyError, match="the automation's runner does not answer"):
        await injector.inject("automation-paused")
    await bench.kube.delete("pods", "automation-1", "automation", grace_period_seconds=0)
    await injector.tick()
    assert injector.journal.open() == []
