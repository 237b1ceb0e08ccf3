"""Whatever is asked of a StatefulSet or DaemonSet, and however slow its pods are, its promises hold."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from controllers_cluster import Cluster, active, add_node, is_ready, running_cluster, template
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.localkube.controllers.rollout import resolve
from lab.localkube.protocols import WatchEvent

pytestmark = pytest.mark.slow
slowness = st.sets(st.integers(0, 4), max_size=4)
Judge = Callable[[Cluster, WatchEvent], None]


class Slow:
    """Lets some pods become ready only when they are `helped`, and judges every write of a pod."""

    def __init__(self, cluster: Cluster, slow: set[int], judge: Judge) -> None:
        self._cluster, self._slow, self._judge = cluster, slow, judge
        self._late: list[KubeObject] = []
        self._serial = 0
        self.broken: list[str] = []
        cluster.verdict = self._verdict
        cluster.registry.subscribe(self._changed)

    def _verdict(self, pod: KubeObject) -> str:
        self._serial += 1
        if self._serial % 5 in self._slow:
            self._late.append(pod)
            return "stuck"
        return "ready"

    def _changed(self, resource: Resource, event: WatchEvent) -> None:
        if resource.plural == "pods":
            try:
                self._judge(self._cluster, event)
            except AssertionError as error:
                self.broken.append(str(error))

    def help(self) -> None:
        while self._late:
            name = self._late.pop()["metadata"]["name"]
            if not self._cluster.gone("Pod", name):
                self._cluster.mark(self._cluster.get("Pod", name), "ready")


def moves(event: WatchEvent) -> bool:
    """Does a pod begin, or begin to end?"""
    if event.type == "MODIFIED" and event.previous is not None:
        marks = [obj["metadata"].get("deletionTimestamp") for obj in (event.previous, event.object)]
        return marks[0] is None and marks[1] is not None
    return event.type == "ADDED" or not event.object["metadata"].get("deletionTimestamp")


def all_below_are_ready(cluster: Cluster, event: WatchEvent) -> None:
    if not moves(event):
        return
    ordinal = int(event.object["metadata"]["name"].rpartition("-")[2])
    pods = {pod["metadata"]["name"]: pod for pod in active(cluster.list("Pod"))}
    for lower in range(ordinal):
        pod = pods.get(f"db-{lower}")
        assert pod is not None, f"{event.type} db-{ordinal} while db-{lower} is not there"
        assert is_ready(pod), f"{event.type} db-{ordinal} while db-{lower} is not ready"


def container(image: str) -> KubeObject:
    return {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}


async def drive_stateful(steps: list[tuple[int, str]], slow: set[int]) -> list[str]:
    """Ask for one size and image after the other, waiting for some; what was broken."""
    with tempfile.TemporaryDirectory() as directory:
        async with running_cluster(Path(directory)) as cluster:
            pods = Slow(cluster, slow, all_below_are_ready)
            spec = {"replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}}
            cluster.create("StatefulSet", "db", spec=spec | {"template": template("db")})

            def complete() -> bool:
                pods.help()
                found = cluster.get("StatefulSet", "db")
                status, wanted = found["status"], found["spec"]["replicas"]
                return (
                    status.get("observedGeneration") == found["metadata"]["generation"]
                    and status.get("currentRevision") == status["updateRevision"]
                    and status.get("updatedReplicas", 0) == status.get("readyReplicas", 0) == wanted
                    and len(cluster.list("Pod")) == wanted
                )

            for number, (size, image) in enumerate(steps):
                cluster.patch("StatefulSet", "db", {"spec": {"replicas": size, **container(image)}})
                if number % 2:
                    await cluster.until(complete, 30)
            await cluster.until(complete, 30)
            return pods.broken


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["img:1", "img:2", "img:3"])), max_size=5),
    slow=slowness,
)
def test_a_pod_of_a_statefulset_begins_and_ends_only_while_all_below_it_are_ready(
    steps: list[tuple[int, str]], slow: set[int]
) -> None:
    with asyncio.Runner() as runner:
        assert runner.run(drive_stateful(steps, slow)) == []


async def drive_daemons(nodes: int, limits: dict[str, Any], slow: set[int]) -> tuple[int, int]:
    """Roll a DaemonSet; the most pods and the fewest served nodes after any write."""
    with tempfile.TemporaryDirectory() as directory:
        async with running_cluster(Path(directory)) as cluster:
            for number in range(2, nodes + 1):
                add_node(cluster, f"node-{number}")
            spec = {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent")}
            strategy = {"type": "RollingUpdate", "rollingUpdate": limits}
            cluster.create("DaemonSet", "agent", spec=spec | {"updateStrategy": strategy})
            await cluster.until(lambda: sum(map(is_ready, cluster.list("Pod"))) == nodes)
            await cluster.settle()
            most, fewest = nodes, nodes

            def judge(cluster: Cluster, event: WatchEvent) -> None:
                nonlocal most, fewest
                alive = active(cluster.list("Pod"))
                most = max(most, len(alive))
                fewest = min(fewest, len({pod["spec"]["nodeName"] for pod in alive if is_ready(pod)}))

            pods = Slow(cluster, slow, judge)
            cluster.patch("DaemonSet", "agent", {"spec": container("img:2")})

            def complete() -> bool:
                pods.help()
                status = cluster.get("DaemonSet", "agent")["status"]
                return (
                    status["observedGeneration"] == 2
                    and status.get("updatedNumberScheduled") == status.get("numberAvailable") == nodes
                    and len(cluster.list("Pod")) == nodes
                )

            await cluster.until(complete, 30)
            return most, fewest


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    nodes=st.integers(1, 8),
    limit=st.one_of(st.integers(1, 4), st.integers(1, 100).map(lambda n: f"{n}%")),
    surges=st.booleans(),
    slow=slowness,
)
def test_a_daemonset_stays_between_its_fences(
    nodes: int, limit: int | str, surges: bool, slow: set[int]
) -> None:
    limits = {"maxSurge": limit, "maxUnavailable": 0} if surges else {"maxUnavailable": limit}
    with asyncio.Runner() as runner:
        most, fewest = runner.run(drive_daemons(nodes, limits, slow))
    allowed = resolve(limit, nodes, up=True)
    assert most <= nodes + (allowed if surges else 0)
    assert fewest >= (nodes if surges else max(0, nodes - allowed))
