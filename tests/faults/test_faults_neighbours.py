"""Pods that the injector makes beside the shop's, on a real API server: made once, and taken away."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry
from shop_pods import Pods, until
from test_faults_in_cluster import kube, worker
from test_faults_injector import HandClock

from lab.core.clock import TimeScale
from lab.core.fault import MARK, FaultState
from lab.errors import ConfigError, NotReadyError
from lab.faults.injector import Injector
from lab.faults.journal import FileStore
from lab.faults.medium import Medium, NoVictimError, OccupiedError
from lab.faults.neighbours import NEIGHBOURS, NeighbourMedium
from lab.faults.registry import FAULTS
from lab.kube.client import KubeClient
from lab.shop.analytics import MOST_PROCESSES, processes

__all__ = ["kube"]
pytestmark = pytest.mark.safety
FAULT = "noisy-neighbour"


class Bench:
    """A shop whose pods are on the nodes `one` and `two`, and a journal file."""

    def __init__(self, kube: KubeClient, path: Path) -> None:
        self.kube, self.path, self.clock = kube, path, HandClock()

    async def open(self) -> Bench:
        for node in ("one", "two"):
            pod = worker(f"worker-{node}")
            pod["spec"]["nodeName"] = node
            await self.kube.create("pods", pod)
        return self

    async def injector(self) -> Injector:
        """One that has read the journal."""
        media: dict[str, Medium] = {NEIGHBOURS: NeighbourMedium(self.kube, FAULTS, clock=self.clock)}
        made = Injector(
            media,
            FileStore(self.path),
            seed=5,
            scale=TimeScale(60),
            clock=self.clock,
            registry=CollectorRegistry(),
        )
        await made.start()
        return made

    async def tick(self, injector: Injector) -> None:
        self.clock.seconds += 1.1
        await injector.tick()

    async def neighbours(self) -> dict[str, str]:
        """Name to node of the pods that are not being deleted and are not the shop's."""
        found = (await self.kube.list("pods", "shop", label_selector="app=analytics"))["items"]
        alive = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in alive}


@pytest.fixture
async def bench(kube: KubeClient, tmp_path: Path) -> Bench:
    return await Bench(kube, tmp_path / "journal.json").open()


async def test_it_lands_on_a_node_of_the_shop_and_is_taken_away_or_cured_by_deleting_it(bench: Bench) -> None:
    injector = await bench.injector()
    with pytest.raises(NoVictimError, match="'three'") as caught:
        await injector.inject(FAULT, parameters={"node": "three"})
    assert "one, two" in caught.value.hint
    [entry] = await injector.inject(FAULT, parameters={"node": "two", "processesPerProcessor": 3})
    assert (entry.target.kind, entry.target.name) == ("Node", "two")
    assert await bench.neighbours() == {"analytics-0001": "two"}
    pod = await bench.kube.get("pods", "analytics-0001", "shop")
    assert pod["metadata"]["labels"] == {"app": "analytics", MARK: entry.id}
    assert {"name": "PROCESSES_PER_PROCESSOR", "value": "3"} in pod["spec"]["containers"][0]["env"]
    assert pod["spec"]["securityContext"]["runAsNonRoot"]  # as a restricted namespace asks of every pod
    assert pod["spec"]["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    with pytest.raises(OccupiedError):
        await injector.inject(FAULT, parameters={"node": "two"})
    [other] = await injector.inject(FAULT)
    assert other.target.name == "one"
    await bench.tick(injector)
    assert len(await bench.neighbours()) == 2
    await injector.undo([entry], "heal")
    assert await bench.neighbours() == {"analytics-0002": "one"}
    bench.clock.seconds += 1801
    await injector.tick()
    assert injector.journal.entries[other.id].undone_by == "lease"
    assert await bench.neighbours() == {}
    [entry] = await injector.inject(FAULT)
    await bench.kube.delete("pods", "analytics-0003", "shop")
    await bench.tick(injector)
    assert injector.journal.entries[entry.id].undone_by == "repair"


@pytest.mark.slow
async def test_pods_of_others_are_left_alone_and_those_that_nobody_knows_go(bench: Bench) -> None:
    for name, labels in (("analytics-0001", {}), ("analytics-0099", {MARK: "noisy-neighbour-0099"})):
        await bench.kube.create("pods", worker(name, labels={"app": "analytics", **labels}, namespace="shop"))
    injector = await bench.injector()
    with pytest.raises(NotReadyError, match="analytics-0001"):
        await injector.inject(FAULT)
    assert [entry.state for entry in injector.journal.entries.values()] == [FaultState.FAILED]
    await bench.tick(injector)
    left = (await bench.kube.list("pods", "shop", label_selector="app=analytics"))["items"]
    assert [pod["metadata"]["name"] for pod in left] == ["analytics-0001"]


@pytest.mark.slow
async def test_the_job_takes_processor_time_says_so_and_ends_with_its_first_process(pods: Pods) -> None:
    job = await pods.start("lab.shop.analytics", "analytics-1", PROCESSES_PER_PROCESSOR="1")
    each = psutil.Process(job.process.pid).children()
    assert len(each) == len(os.sched_getaffinity(0)) if sys.platform == "linux" else each

    async def apart() -> bool:
        return {os.getsid(child.pid) for child in each} == {child.pid for child in each}

    await until(apart, "each is a session of its own")

    async def used() -> bool:
        return (await pods.metric(job, "shop_analytics_cpu_seconds_total") or 0.0) > 0.2

    await until(used, "it has used processor time")
    job.process.send_signal(signal.SIGKILL)
    await job.process.wait()

    async def ended() -> bool:
        return not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in each)

    await until(ended, "its processes have ended")


def test_its_number_of_processes_is_bounded() -> None:
    assert processes({"PROCESSES_PER_PROCESSOR": "24"}, 2) == 48
    assert processes({"PROCESSES_PER_PROCESSOR": "64"}, 96) == MOST_PROCESSES
    for text in ("0", "-1", "many", "257", "1.5"):
        with pytest.raises(ConfigError):
            processes({"PROCESSES_PER_PROCESSOR": text}, 2)
