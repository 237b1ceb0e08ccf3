"""Nodes that go silent, old events, ended pods, and the machinery itself."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from controllers_cluster import Cluster, ManualClock, add_node, condition, deployment, running_cluster

from lab.core.clock import SystemClock
from lab.kube.objects import KubeObject
from lab.kube.resources import builtin
from lab.localkube.controllers import sweep
from lab.localkube.controllers.queue import WorkQueue
from lab.localkube.events import EventRecorder


async def test_silent_node_becomes_unknown_and_loses_its_pods(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    lease = {"holderIdentity": "node-1", "renewTime": "2026-01-01T12:00:00.000000Z"}
    cluster.create("Lease", "node-1", namespace="kube-node-lease", spec=lease)
    deployment(cluster, "web", 1)
    await clock.advance(cluster, 35, step=5)
    assert condition(cluster.get("Node", "node-1"), "Ready")["status"] == "True"
    await clock.advance(cluster, 15, step=5)
    assert condition(cluster.get("Node", "node-1"), "Ready")["status"] == "Unknown"
    taints = {(t["key"], t["effect"]) for t in cluster.get("Node", "node-1")["spec"]["taints"]}
    assert ("node.kubernetes.io/unreachable", "NoExecute") in taints
    before = cluster.list("Pod")[0]["metadata"]["name"]
    assert condition(cluster.get("Pod", before), "Ready")["status"] == "False"
    assert "Node is not ready" in cluster.messages("NodeNotReady")
    await clock.advance(cluster, 200, step=20)
    assert not cluster.gone("Pod", before)
    cluster.linger = True
    await clock.advance(cluster, 140, step=20)
    left = cluster.get("Pod", before)
    assert left["metadata"]["deletionTimestamp"]
    assert condition(left, "DisruptionTarget")["reason"] == "DeletionByTaintManager"
    assert "TaintManagerEviction" in cluster.reasons(before)


async def test_pods_of_a_removed_node_go(cluster: Cluster) -> None:
    add_node(cluster, "node-2", metadata={"labels": {"only": "here"}})
    spec = {"containers": [{"name": "m", "image": "i"}], "nodeSelector": {"only": "here"}}
    cluster.create("Pod", "p", spec=spec)
    await cluster.until(lambda: cluster.get("Pod", "p")["spec"].get("nodeName") == "node-2")
    await cluster.settle()
    cluster.delete("Node", "node-2")
    await cluster.until(lambda: cluster.gone("Pod", "p"))


async def test_pods_of_a_node_out_of_service_need_not_be_ended_by_it(cluster: Cluster) -> None:
    add_node(cluster, "node-2")
    deployment(cluster, "web", 2)
    await cluster.until(lambda: cluster.get("Deployment", "web")["status"].get("availableReplicas") == 2)
    cluster.linger = True
    [lost] = [pod for pod in cluster.list("Pod") if pod["spec"]["nodeName"] == "node-2"]
    name = lost["metadata"]["name"]
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "off", "effect": "NoExecute"}
    cluster.patch("Node", "node-2", {"spec": {"taints": [taint]}})
    await cluster.until(lambda: cluster.get("Pod", name)["metadata"].get("deletionTimestamp"))
    await cluster.settle()
    assert not cluster.gone("Pod", name), "the node is ready, and may end its pods itself"
    conditions = [{"type": "Ready", "status": "Unknown"}]
    node = cluster.get("Node", "node-2")
    status = node["status"] | {"conditions": conditions}
    cluster.registry.update(builtin("Node"), "", "node-2", node | {"status": status}, subresource="status")
    await cluster.until(lambda: cluster.gone("Pod", name))


async def test_ended_pods_are_bounded(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "TERMINATED_LIMIT", 3)
    cluster.verdict = lambda pod: "Succeeded"
    for number in range(6):
        cluster.create("Pod", f"p{number}", spec={"containers": [{"name": "m", "image": "i"}]})
    await cluster.until(lambda: len(cluster.list("Pod")) == 3)


async def test_events_expire_and_are_bounded(
    timed: tuple[Cluster, ManualClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, clock = timed
    monkeypatch.setattr(sweep, "EVENT_LIMIT", 50)
    node = cluster.get("Node", "node-1")
    for number in range(60):
        EventRecorder(cluster.registry, clock, f"test-{number}").event(node, "Normal", "Tested", "text")
    await clock.advance(cluster, 1)
    assert 40 <= len(cluster.list("Event")) <= 50
    await clock.advance(cluster, 3700, step=60)
    assert cluster.list("Event") == []


def recorded(cluster: Cluster) -> list[tuple[str, int]]:
    found = [e for e in cluster.list("Event") if e["source"]["component"] == "tester"]
    return sorted((e["message"], e["count"]) for e in found)


async def test_events_are_counted_combined_and_damped(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    node = cluster.get("Node", "node-1")
    recorder = EventRecorder(cluster.registry, clock, "tester", "host-1")
    for _ in range(3):
        recorder.event(node, "Warning", "BackOff", "again")
    assert recorded(cluster) == [("again", 3)]
    [event] = [e for e in cluster.list("Event") if e["reason"] == "BackOff"]
    assert event["source"] == {"component": "tester", "host": "host-1"}
    assert event["involvedObject"]["kind"] == "Node"
    for number in range(14):
        recorder.event(node, "Warning", "Odd", f"number {number:02}")
    combined = [each for each in recorded(cluster) if each[0].startswith("(combined from similar events)")]
    assert [count for _, count in combined] == [4]
    for _ in range(40):
        recorder.event(node, "Warning", "BackOff", "again")
    assert dict(recorded(cluster))["again"] == 3 + 25 - 17


async def test_a_lost_event_is_not_an_error(cluster: Cluster) -> None:
    recorder = EventRecorder(cluster.registry, SystemClock(), "tester")
    ghost = {"kind": "Pod", "metadata": {"name": "p", "namespace": "nowhere", "uid": "1"}}
    recorder.event(ghost, "Normal", "Gone", "text")
    assert recorded(cluster) == []


async def test_queue_holds_each_key_once_and_backs_off() -> None:
    clock = SystemClock()
    queue = WorkQueue(clock)
    queue.add(("a",))
    queue.add(("b",))
    queue.add(("a",))
    assert [await queue.get(), await queue.get(), len(queue)] == [("a",), ("b",), 0]
    assert [queue.retry(("c",)) for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    assert await asyncio.wait_for(queue.get(), 5) == ("c",)
    queue.forget(("c",))
    assert queue.retry(("c",)) == 0.005
    for _ in range(40):
        last = queue.retry(("d",))
    assert last == 30.0
    queue.close()


async def test_a_bad_object_hurts_nobody_else(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    selector = {"matchLabels": {"app": "bad"}}
    template: KubeObject = {
        "metadata": {"labels": {"app": "bad"}},
        "spec": {"containers": [{"name": "m", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
    }
    resource = builtin("Deployment")
    cluster.create("Deployment", "bad", spec={"replicas": 1, "selector": selector, "template": template})
    change = {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "not a number"}}}
    cluster.registry.patch(resource, "default", "bad", change, "application/merge-patch+json")
    deployment(cluster, "good", 1)
    await cluster.until(lambda: cluster.get("Deployment", "good").get("status", {}).get("availableReplicas"))
    await cluster.until(lambda: cluster.get("Deployment", "bad")["status"].get("availableReplicas"))


async def test_takes_up_what_was_there_before(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as first:
        deployment(first, "web", 2)
        await first.until(lambda: first.get("Deployment", "web")["status"].get("availableReplicas") == 2)
        await first.settle()
        uids = {pod["metadata"]["uid"] for pod in first.list("Pod")}
    async with running_cluster(tmp_path, node=False) as second:
        await second.settle()
        assert {pod["metadata"]["uid"] for pod in second.list("Pod")} == uids
        second.patch("Deployment", "web", {"spec": {"replicas": 3}})
        await second.until(lambda: second.get("Deployment", "web")["status"].get("availableReplicas") == 3)
