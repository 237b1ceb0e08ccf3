"""Scheduling: what fits where, and what is said when nothing does."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from controllers_cluster import Cluster, add_node, condition, deployment

from lab.kube.objects import KubeObject
from lab.localkube.controllers import fit


def pod(cluster: Cluster, name: str, cpu: str = "", **spec: Any) -> KubeObject:
    container: dict[str, Any] = {"name": "main", "image": "img"}
    if cpu:
        container["resources"] = {"requests": {"cpu": cpu}}
    return cluster.create("Pod", name, spec={"containers": [container]} | spec)


def node_of(cluster: Cluster, name: str) -> str:
    return str(cluster.get("Pod", name)["spec"].get("nodeName", ""))


async def test_binds_and_says_so(cluster: Cluster) -> None:
    pod(cluster, "p")
    await cluster.until(lambda: node_of(cluster, "p") == "node-1")
    assert condition(cluster.get("Pod", "p"), "PodScheduled")["status"] == "True"
    assert cluster.messages("Scheduled") == ["Successfully assigned default/p to node-1"]


async def test_waits_until_there_is_room(cluster: Cluster) -> None:
    pod(cluster, "big", "7")
    await cluster.settle()
    pod(cluster, "late", "2")
    await cluster.settle()
    refused = condition(cluster.get("Pod", "late"), "PodScheduled")
    assert (refused["status"], refused["reason"]) == ("False", "Unschedulable")
    assert refused["message"] == "0/1 nodes are available: 1 Insufficient cpu."
    assert "FailedScheduling" in cluster.reasons("late")
    cluster.delete("Pod", "big")
    await cluster.until(lambda: node_of(cluster, "late") == "node-1")


async def test_ended_pods_free_their_room(cluster: Cluster) -> None:
    big = pod(cluster, "big", "7")
    await cluster.settle()
    pod(cluster, "late", "2")
    await cluster.settle()
    cluster.mark(big, "Succeeded")
    await cluster.until(lambda: node_of(cluster, "late") == "node-1")


async def test_cordon_and_uncordon(cluster: Cluster) -> None:
    cluster.patch("Node", "node-1", {"spec": {"unschedulable": True}})
    pod(cluster, "p")
    await cluster.settle()
    assert node_of(cluster, "p") == ""
    assert cluster.get("Node", "node-1")["spec"]["taints"][0]["key"] == "node.kubernetes.io/unschedulable"
    cluster.patch("Node", "node-1", {"spec": {"unschedulable": False}})
    await cluster.until(lambda: node_of(cluster, "p") == "node-1")
    assert not cluster.get("Node", "node-1")["spec"].get("taints")


async def test_selector_taint_and_toleration(cluster: Cluster) -> None:
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    add_node(cluster, "node-2", metadata={"labels": {"disk": "ssd"}}, spec={"taints": [taint]})
    pod(cluster, "picky", nodeSelector={"disk": "ssd"})
    await cluster.settle()
    assert node_of(cluster, "picky") == ""
    message = condition(cluster.get("Pod", "picky"), "PodScheduled")["message"]
    assert "1 node(s) didn't match Pod's node affinity/selector" in message
    assert "1 node(s) had untolerated taint {dedicated: db}" in message
    bearing = {"key": "dedicated", "operator": "Exists"}
    pod(cluster, "bearing", nodeSelector={"disk": "ssd"}, tolerations=[bearing])
    await cluster.until(lambda: node_of(cluster, "bearing") == "node-2")


async def test_spreads_by_load(cluster: Cluster) -> None:
    add_node(cluster, "node-2")
    for number in range(10):
        pod(cluster, f"p{number}", "500m")
    await cluster.settle()
    assert Counter(node_of(cluster, f"p{n}") for n in range(10)) == {"node-1": 5, "node-2": 5}


async def test_prefers_what_the_pod_prefers(cluster: Cluster) -> None:
    add_node(cluster, "node-2", metadata={"labels": {"disk": "ssd"}})
    soft = {"key": "old", "effect": "PreferNoSchedule"}
    add_node(cluster, "node-3", metadata={"labels": {"disk": "ssd"}}, spec={"taints": [soft]})
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    preferred = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": term}]}
    for number in range(3):
        pod(cluster, f"p{number}", affinity={"nodeAffinity": preferred})
    await cluster.settle()
    assert {node_of(cluster, f"p{number}") for number in range(3)} == {"node-2"}
    cluster.patch("Node", "node-2", {"spec": {"unschedulable": True}})
    pod(cluster, "less", affinity={"nodeAffinity": preferred})
    await cluster.until(lambda: node_of(cluster, "less") == "node-1")


async def test_keeps_the_pods_of_a_controller_apart(cluster: Cluster) -> None:
    add_node(cluster, "node-2")
    pod(cluster, "big", "6")
    await cluster.settle()
    deployment(cluster, "web", 4)
    await cluster.settle()
    places = Counter(each["spec"]["nodeName"] for each in cluster.list("Pod", selector="app=web"))
    assert places == {"node-1": 2, "node-2": 2}


async def test_other_schedulers_and_gates(cluster: Cluster) -> None:
    pod(cluster, "foreign", schedulerName="mine")
    pod(cluster, "gated", schedulingGates=[{"name": "example.com/wait"}])
    await cluster.settle()
    assert node_of(cluster, "foreign") == node_of(cluster, "gated") == ""
    assert condition(cluster.get("Pod", "gated"), "PodScheduled")["reason"] == "SchedulingGated"


async def test_new_node_takes_the_waiting(cluster: Cluster) -> None:
    pod(cluster, "huge", "12")
    await cluster.settle()
    add_node(cluster, "node-2", room={"cpu": "16"})
    await cluster.until(lambda: node_of(cluster, "huge") == "node-2")


def _container(cpu: str, **more: Any) -> KubeObject:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}


def test_requests_count_init_containers_and_sidecars() -> None:
    spec = {
        "containers": [_container("1"), _container("500m")],
        "initContainers": [_container("250m", restartPolicy="Always"), _container("2")],
    }
    assert fit.requests_of({"spec": spec}) == {"cpu": 2.25, "pods": 1.0}


@pytest.mark.parametrize(
    ("toleration", "borne"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"value": "v"}, False),
    ],
)
def test_tolerations(toleration: KubeObject, borne: bool) -> None:
    assert fit.tolerates([toleration], {"key": "k", "value": "v", "effect": "NoExecute"}) is borne
