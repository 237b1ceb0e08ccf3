"""The real injector, killed by SIGKILL while it applies and undoes: one fault of every medium."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from crash_world import World
from shop_pods import Pods, until
from test_faults_in_cluster import kube

from lab.core.seed import stream
from lab.faults.automation import AUTOMATION
from lab.faults.cluster import CLUSTER
from lab.faults.fault import QUEUE
from lab.faults.neighbours import NEIGHBOURS
from lab.faults.orders import ORDERS
from lab.faults.registry import FAULTS
from lab.faults.rows import ROWS
from lab.faults.services import SERVICES
from lab.faults.sessions import SESSIONS
from lab.kube.client import KubeClient

__all__ = ["kube"]
SAMPLE = {
    ROWS: "api-latency",
    CLUSTER: "bad-config",
    NEIGHBOURS: "noisy-neighbour",
    AUTOMATION: "automation-paused",
    QUEUE: "hung-workers",
    ORDERS: "poison-message",
    SERVICES: "dependency-latency",
    SESSIONS: "lock-pile-up",
}
LIVES = 3
MOST_SECONDS = 0.1
"""Within that time a fault is applied, or undone, on a machine that has nothing else to do."""


def test_there_is_a_sample_of_every_medium() -> None:
    assert SAMPLE.keys() == {fault.medium for fault in FAULTS.values()}


@pytest.fixture
async def world(
    kube: KubeClient, database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    made = World(kube, database_url, tmp_path, request.param)
    try:
        await made.open()
        yield made
    finally:
        await made.close()


@pytest.mark.slow
@pytest.mark.parametrize(("world", "fault"), SAMPLE.items(), indirect=["world"])
async def test_killed_while_it_works_it_leaves_nothing_that_its_successor_cannot_undo(
    world: World, fault: str, pods: Pods, faults_api: Any, tmp_path: Path
) -> None:
    settings = {"KUBECONFIG": str(tmp_path / "admin.kubeconfig"), "FAULT_JOURNAL_FILE": ""}
    if world.medium not in (ROWS, CLUSTER, NEIGHBOURS, AUTOMATION):
        settings = {}
    if world.runner is not None:
        settings["AUDIT_URL"] = f"http://127.0.0.1:{world.runner.audit_port}"
    before, chance = await world.seen(), stream(9, fault)
    for life in range(LIVES):
        faults = await faults_api(f"faults-{life}", **settings)
        for method, path, body in (("POST", "faults", {"name": fault}), ("DELETE", "faults", None)):
            asking = asyncio.create_task(faults.call(method, path, body))
            if (method == "DELETE") is bool(life % 2):  # the even lives end while it is applied
                await asyncio.wait({asking}, timeout=chance.uniform(0, MOST_SECONDS))
                faults.pod.process.kill()
                await faults.pod.process.wait()
                await asyncio.gather(asking, return_exceptions=True)
                break
            assert (await asking)[0] in (201, 409)
    last = await faults_api("faults-last", **settings)
    assert (await last.call("DELETE", "faults"))[0] == 200
    assert (await last.call("GET", "faults"))[1] == {"faults": []}
    await world.becomes(lambda seen: seen == before, "the world is as it was")

    async def bites() -> bool:
        return (await last.call("POST", "faults", {"name": fault}))[0] == 201

    await until(bites, "and the next fault finds its victim")
    assert len((await last.call("DELETE", "faults"))[1]["entries"]) == 1
    await world.becomes(lambda seen: seen == before, "the world is as it was again")
