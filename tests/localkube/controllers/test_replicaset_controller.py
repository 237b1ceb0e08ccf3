"""ReplicaSets: the right number of pods, adoption, release, and who goes first."""

from __future__ import annotations

from collections import Counter

from controllers_cluster import Cluster, active, deployment, template

from lab.kube.objects import KubeObject
from lab.localkube.controllers.replicaset import deletion_rank


def replica_set(cluster: Cluster, name: str, replicas: int) -> KubeObject:
    selector = {"matchLabels": {"app": name}}
    return cluster.create(
        "ReplicaSet", name, spec={"replicas": replicas, "selector": selector, "template": template(name)}
    )


async def test_replaces_deleted_and_failed_pods(cluster: Cluster) -> None:
    replica_set(cluster, "web", 3)
    await cluster.until(lambda: cluster.get("ReplicaSet", "web")["status"].get("readyReplicas") == 3)
    first, second, *_ = cluster.list("Pod")
    cluster.delete("Pod", first["metadata"]["name"])
    cluster.mark(second, "Failed")
    await cluster.until(lambda: len(active(cluster.list("Pod"))) == 3)
    await cluster.settle()
    assert cluster.get("ReplicaSet", "web")["status"]["replicas"] == 3
    assert len(cluster.messages("SuccessfulCreate")) == 5


async def test_adopts_and_releases(cluster: Cluster) -> None:
    cluster.create("Pod", "stray", metadata={"labels": {"app": "web"}}, spec=template("web")["spec"])
    replica_set(cluster, "web", 2)
    await cluster.until(lambda: cluster.get("ReplicaSet", "web")["status"].get("readyReplicas") == 2)
    assert len(cluster.list("Pod")) == 2
    assert cluster.get("Pod", "stray")["metadata"]["ownerReferences"][0]["name"] == "web"
    cluster.patch("Pod", "stray", {"metadata": {"labels": {"app": "quarantine"}}})
    await cluster.until(lambda: len(cluster.list("Pod")) == 3)
    await cluster.settle()
    assert "ownerReferences" not in cluster.get("Pod", "stray")["metadata"]
    assert cluster.get("ReplicaSet", "web")["status"]["replicas"] == 2


async def test_scale_down_takes_the_unready_first(cluster: Cluster) -> None:
    replica_set(cluster, "web", 4)
    await cluster.until(lambda: cluster.get("ReplicaSet", "web")["status"].get("readyReplicas") == 4)
    sick = cluster.list("Pod")[2]
    cluster.mark(sick, "unready")
    cluster.patch("ReplicaSet", "web", {"spec": {"replicas": 3}})
    await cluster.until(lambda: len(cluster.list("Pod")) == 3)
    assert cluster.gone("Pod", sick["metadata"]["name"])
    assert cluster.messages("SuccessfulDelete") == [f"Deleted pod: {sick['metadata']['name']}"]


async def test_terminating_pods_do_not_count(cluster: Cluster) -> None:
    replica_set(cluster, "web", 2)
    await cluster.until(lambda: cluster.get("ReplicaSet", "web")["status"].get("readyReplicas") == 2)
    cluster.linger = True
    cluster.delete("Pod", cluster.list("Pod")[0]["metadata"]["name"])
    await cluster.until(lambda: len(cluster.list("Pod")) == 3)
    await cluster.settle()
    assert cluster.get("ReplicaSet", "web")["status"]["replicas"] == 2


async def test_thirty_pods_come_and_go(cluster: Cluster) -> None:
    deployment(cluster, "worker", 0)
    await cluster.settle()
    cluster.patch("Deployment", "worker", {"spec": {"replicas": 30}})
    await cluster.until(lambda: cluster.get("Deployment", "worker")["status"].get("availableReplicas") == 30)
    cluster.patch("Deployment", "worker", {"spec": {"replicas": 0}})
    await cluster.until(lambda: not cluster.list("Pod"))
    await cluster.settle()
    assert "replicas" not in cluster.get("Deployment", "worker")["status"]


def pod(name: str, *, node: str = "n", phase: str = "Running", ready: str = "", **more: object) -> KubeObject:
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}] if ready else []
    metadata = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z", **more}
    return {
        "metadata": metadata,
        "spec": {"nodeName": node},
        "status": {"phase": phase, "conditions": conditions},
    }


def test_deletion_order() -> None:
    cheap = {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}
    ordered = [
        pod("unassigned", node="", phase="Pending"),
        pod("pending", phase="Pending"),
        pod("unready"),
        pod("cheap", ready="2026-01-01T00:00:10Z", **cheap),
        pod("crowded", node="full", ready="2026-01-01T00:00:10Z"),
        pod("recent", ready="2026-01-01T00:00:20Z"),
        pod("younger", ready="2026-01-01T00:00:10Z", creationTimestamp="2026-01-01T00:00:05Z"),
        pod("oldest", ready="2026-01-01T00:00:10Z"),
    ]
    crowd = Counter({"n": 1, "full": 2, "": 0})
    found = sorted(ordered, key=lambda each: deletion_rank(each, crowd))
    assert [each["metadata"]["name"] for each in found] == [each["metadata"]["name"] for each in ordered]
