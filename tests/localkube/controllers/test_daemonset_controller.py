"""DaemonSets: which nodes get a pod, rolling updates, surges, revisions."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_cluster import Cluster, ManualClock, active, add_node, template

from lab.kube.objects import KubeObject

HASH = "controller-revision-hash"
NODES = ("node-1", "node-2", "node-3")


@pytest.fixture
def three(cluster: Cluster) -> Cluster:
    """A cluster of three nodes, the last of another zone."""
    add_node(cluster, "node-2")
    add_node(cluster, "node-3", metadata={"labels": {"zone": "far"}})
    return cluster


def daemon_set(cluster: Cluster, name: str = "agent", pod: Any = None, **spec: Any) -> KubeObject:
    body = {"selector": {"matchLabels": {"app": name}}, "template": pod or template(name)}
    return cluster.create("DaemonSet", name, spec=body | spec)


def strategy(**limits: Any) -> KubeObject:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": limits}}


def places(cluster: Cluster) -> list[tuple[str, str]]:
    """Node and image of each pod that is not going."""
    pods = active(cluster.list("Pod"))
    return sorted((p["spec"].get("nodeName", ""), p["spec"]["containers"][0]["image"]) for p in pods)


def everywhere(image: str, nodes: tuple[str, ...] = NODES) -> list[tuple[str, str]]:
    return [(node, image) for node in nodes]


def set_image(cluster: Cluster, image: str, name: str = "agent") -> None:
    container = {"name": "main", "image": image}
    cluster.patch("DaemonSet", name, {"spec": {"template": {"spec": {"containers": [container]}}}})


async def rolled_out(cluster: Cluster, nodes: int, name: str = "agent") -> KubeObject:
    """What `kubectl rollout status` waits for."""

    def done() -> bool:
        found = cluster.get("DaemonSet", name)
        status = found["status"]
        return (
            status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            and status["desiredNumberScheduled"] == nodes
            and status.get("updatedNumberScheduled", 0) == nodes
            and status.get("numberAvailable", 0) == nodes
        )

    await cluster.until(done)
    await cluster.settle()
    return cluster.get("DaemonSet", name)


async def test_one_pod_on_every_node(three: Cluster) -> None:
    daemon_set(three)
    found = await rolled_out(three, 3)
    assert places(three) == everywhere("img:1")
    assert found["status"] == {
        "currentNumberScheduled": 3,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 3,
        "numberReady": 3,
        "observedGeneration": 1,
        "updatedNumberScheduled": 3,
        "numberAvailable": 3,
    }
    [revision] = three.list("ControllerRevision")
    pod = three.list("Pod")[0]
    digest = pod["metadata"]["labels"][HASH]
    assert pod["metadata"]["labels"] == {"app": "agent", HASH: digest, "pod-template-generation": "1"}
    assert revision["metadata"]["name"] == f"agent-{digest}"
    tolerated = {(each["key"].rpartition("/")[2], each["effect"]) for each in pod["spec"]["tolerations"]}
    assert tolerated == {
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    }
    three.delete("Pod", pod["metadata"]["name"])
    await rolled_out(three, 3)
    assert places(three) == everywhere("img:1")


async def test_follows_the_nodes(three: Cluster) -> None:
    daemon_set(three, pod=template("agent", nodeSelector={"zone": "far"}))
    await rolled_out(three, 1)
    assert places(three) == everywhere("img:1", ("node-3",))
    add_node(three, "node-4", metadata={"labels": {"zone": "far"}})
    await rolled_out(three, 2)
    three.patch("Node", "node-3", {"metadata": {"labels": {"zone": None}}})
    await three.until(lambda: places(three) == everywhere("img:1", ("node-4",)))
    three.delete("Node", "node-4")
    await three.until(lambda: places(three) == [])


async def test_taints_keep_daemons_away_and_cordons_do_not(three: Cluster) -> None:
    three.patch("Node", "node-1", {"spec": {"unschedulable": True}})
    three.patch("Node", "node-2", {"spec": {"taints": [{"key": "only", "effect": "NoSchedule"}]}})
    daemon_set(three)
    await rolled_out(three, 2)
    assert places(three) == everywhere("img:1", ("node-1", "node-3"))
    three.patch("Node", "node-3", {"spec": {"taints": [{"key": "only", "effect": "NoSchedule"}]}})
    await three.until(lambda: three.get("DaemonSet", "agent")["status"]["numberMisscheduled"] == 1)
    assert ("node-3", "img:1") in places(three)
    three.patch("Node", "node-3", {"spec": {"taints": [{"key": "only", "effect": "NoExecute"}]}})
    await three.until(lambda: places(three) == everywhere("img:1", ("node-1",)))


async def test_rolls_node_after_node_and_back(three: Cluster) -> None:
    daemon_set(three)
    await rolled_out(three, 3)
    first = three.list("ControllerRevision")[0]["metadata"]["name"]
    three.verdict = lambda pod: "unready"
    set_image(three, "img:2")
    await three.settle()
    assert [image for _, image in places(three)].count("img:2") == 1
    assert three.get("DaemonSet", "agent")["status"]["numberUnavailable"] == 1
    three.verdict = lambda pod: "ready"
    for pod in three.list("Pod"):
        three.mark(pod, "ready")
    await rolled_out(three, 3)
    assert places(three) == everywhere("img:2")
    set_image(three, "img:1")
    await rolled_out(three, 3)
    revisions = {each["metadata"]["name"]: each["revision"] for each in three.list("ControllerRevision")}
    assert (revisions[first], sorted(revisions.values())) == (3, [2, 3])
    assert three.list("Pod")[0]["metadata"]["labels"]["pod-template-generation"] == "3"


async def test_more_may_be_unavailable(three: Cluster) -> None:
    daemon_set(three, **strategy(maxUnavailable="60%"))
    await rolled_out(three, 3)
    three.verdict = lambda pod: "unready"
    set_image(three, "img:2")
    await three.settle()
    assert [image for _, image in places(three)].count("img:2") == 2


async def test_a_surge_starts_the_new_pod_before_the_old_one_goes(three: Cluster) -> None:
    daemon_set(three, **strategy(maxSurge=1, maxUnavailable=0))
    await rolled_out(three, 3)
    three.verdict = lambda pod: "unready"
    set_image(three, "img:2")
    await three.settle()
    images = [image for _, image in places(three)]
    assert (images.count("img:1"), images.count("img:2")) == (3, 1)
    assert three.get("DaemonSet", "agent")["status"]["numberAvailable"] == 3
    three.verdict = lambda pod: "ready"
    for pod in three.list("Pod"):
        three.mark(pod, "ready")
    await rolled_out(three, 3)
    assert places(three) == everywhere("img:2")


async def test_on_delete_waits_for_a_person(three: Cluster) -> None:
    daemon_set(three, updateStrategy={"type": "OnDelete"})
    await rolled_out(three, 3)
    set_image(three, "img:2")
    await three.settle()
    assert places(three) == everywhere("img:1")
    [pod] = [pod for pod in three.list("Pod") if pod["spec"]["nodeName"] == "node-2"]
    three.delete("Pod", pod["metadata"]["name"])
    await three.until(lambda: ("node-2", "img:2") in places(three))
    assert three.get("DaemonSet", "agent")["status"]["updatedNumberScheduled"] == 1


async def test_failed_pods_are_replaced_ever_later(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    cluster.verdict = lambda pod: "Failed"
    daemon_set(cluster)
    await clock.advance(cluster, 20, step=0.5)
    deleted = [event for event in cluster.seen if event.type == "DELETED"]
    assert 3 <= len(deleted) <= 6
    assert "FailedDaemonPod" in cluster.reasons("agent")


async def test_history_is_limited(cluster: Cluster) -> None:
    daemon_set(cluster, revisionHistoryLimit=1)
    for version in range(2, 5):
        await rolled_out(cluster, 1)
        set_image(cluster, f"img:{version}")
    await rolled_out(cluster, 1)
    await cluster.until(
        lambda: sorted(each["revision"] for each in cluster.list("ControllerRevision")) == [3, 4]
    )


async def test_adopts_what_its_selector_chooses(cluster: Cluster) -> None:
    pod = template("agent", nodeName="node-1")
    cluster.create("Pod", "left", metadata={"labels": pod["metadata"]["labels"]}, spec=pod["spec"])
    await cluster.until(lambda: cluster.get("Pod", "left")["status"]["phase"] == "Running")
    daemon_set(cluster, updateStrategy={"type": "OnDelete"})
    await cluster.until(lambda: cluster.get("Pod", "left")["metadata"].get("ownerReferences"))
    await cluster.settle()
    assert len(cluster.list("Pod")) == 1


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_goes_with_all_that_it_owns(cluster: Cluster, policy: str) -> None:
    daemon_set(cluster)
    await rolled_out(cluster, 1)
    cluster.delete("DaemonSet", "agent", policy=policy)
    kinds = ("DaemonSet", "Pod", "ControllerRevision")
    await cluster.until(lambda: not any(cluster.list(kind) for kind in kinds))
