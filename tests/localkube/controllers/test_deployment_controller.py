"""Deployments: rollouts, rollbacks, pauses, scaling, conditions."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_cluster import Cluster, ManualClock, active, condition, deployment, template

REVISION = "deployment.kubernetes.io/revision"


def done(cluster: Cluster, name: str, replicas: int) -> bool:
    """What `kubectl rollout status` waits for."""
    found = cluster.get("Deployment", name)
    status = found.get("status", {})
    return (
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
        and status.get("availableReplicas", 0) == replicas
    )


async def rolled_out(cluster: Cluster, name: str, replicas: int) -> None:
    await cluster.until(lambda: done(cluster, name, replicas))
    await cluster.settle()


def images(cluster: Cluster) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in active(cluster.list("Pod"))}


def set_image(cluster: Cluster, name: str, image: str) -> None:
    container = {"name": "main", "image": image}
    cluster.patch("Deployment", name, {"spec": {"template": {"spec": {"containers": [container]}}}})


async def test_creates_replica_set_and_reports(cluster: Cluster) -> None:
    deployment(cluster, "web", 3)
    await rolled_out(cluster, "web", 3)
    found = cluster.get("Deployment", "web")
    [replica_set] = cluster.list("ReplicaSet")
    digest = replica_set["metadata"]["labels"]["pod-template-hash"]
    assert replica_set["metadata"]["name"] == f"web-{digest}"
    assert replica_set["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
    assert found["metadata"]["annotations"][REVISION] == "1"
    assert found["metadata"]["generation"] == found["status"]["observedGeneration"] == 1
    assert condition(found, "Available")["reason"] == "MinimumReplicasAvailable"
    progressing = condition(found, "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("True", "NewReplicaSetAvailable")
    assert f'ReplicaSet "web-{digest}" has successfully progressed.' == progressing["message"]
    assert cluster.messages("ScalingReplicaSet") == [f"Scaled up replica set web-{digest} from 0 to 3"]


async def test_rolls_and_rolls_back(cluster: Cluster) -> None:
    deployment(cluster, "web", 4)
    await rolled_out(cluster, "web", 4)
    set_image(cluster, "web", "img:2")
    await rolled_out(cluster, "web", 4)
    assert images(cluster) == {"img:2"}
    first = next(
        each for each in cluster.list("ReplicaSet") if each["metadata"]["annotations"][REVISION] == "1"
    )
    assert first["spec"]["replicas"] == 0
    set_image(cluster, "web", "img:1")
    await rolled_out(cluster, "web", 4)
    assert images(cluster) == {"img:1"}
    again = cluster.get("ReplicaSet", first["metadata"]["name"])
    assert again["metadata"]["annotations"][REVISION] == "3"
    assert again["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert cluster.get("Deployment", "web")["metadata"]["annotations"][REVISION] == "3"
    assert len(cluster.list("ReplicaSet")) == 2


async def test_restart_annotation_replaces_all_pods(cluster: Cluster) -> None:
    deployment(cluster, "web", 3)
    await rolled_out(cluster, "web", 3)
    before = {pod["metadata"]["uid"] for pod in cluster.list("Pod")}
    stamp = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    cluster.patch("Deployment", "web", {"spec": {"template": {"metadata": {"annotations": stamp}}}})
    await rolled_out(cluster, "web", 3)
    await cluster.until(lambda: len(cluster.list("Pod")) == 3)
    assert before.isdisjoint({pod["metadata"]["uid"] for pod in cluster.list("Pod")})


async def test_stuck_rollout_keeps_the_minimum_available(cluster: Cluster) -> None:
    deployment(cluster, "web", 8)
    await rolled_out(cluster, "web", 8)
    cluster.verdict = lambda pod: "unready"
    set_image(cluster, "web", "img:bad")
    await cluster.settle()
    status = cluster.get("Deployment", "web")["status"]
    assert status["availableReplicas"] == 6
    assert status["replicas"] == 10
    assert status["updatedReplicas"] == 4
    assert condition(cluster.get("Deployment", "web"), "Available")["status"] == "True"
    set_image(cluster, "web", "img:1")
    cluster.verdict = lambda pod: "ready"
    await rolled_out(cluster, "web", 8)


async def test_recreate_waits_for_the_last_old_pod(cluster: Cluster) -> None:
    deployment(cluster, "web", 2, strategy={"type": "Recreate"})
    await rolled_out(cluster, "web", 2)
    cluster.linger = True
    set_image(cluster, "web", "img:2")
    await cluster.settle()
    assert active(cluster.list("Pod")) == []
    assert len(cluster.list("Pod")) == 2
    cluster.linger = False
    for pod in cluster.list("Pod"):
        cluster.bury(pod)
    await rolled_out(cluster, "web", 2)
    assert images(cluster) == {"img:2"}


async def test_paused_deployment_does_not_roll(cluster: Cluster) -> None:
    deployment(cluster, "web", 2)
    await rolled_out(cluster, "web", 2)
    cluster.patch("Deployment", "web", {"spec": {"paused": True}})
    set_image(cluster, "web", "img:2")
    await cluster.settle()
    assert images(cluster) == {"img:1"}
    found = cluster.get("Deployment", "web")
    assert condition(found, "Progressing")["reason"] == "DeploymentPaused"
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    cluster.patch("Deployment", "web", {"spec": {"replicas": 4}})
    await cluster.until(lambda: len(active(cluster.list("Pod"))) == 4)
    cluster.patch("Deployment", "web", {"spec": {"paused": False}})
    await rolled_out(cluster, "web", 4)
    assert images(cluster) == {"img:2"}


async def test_scaling_amid_a_rollout_is_proportional(cluster: Cluster) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
    deployment(cluster, "web", 10, strategy=strategy)
    await rolled_out(cluster, "web", 10)
    cluster.verdict = lambda pod: "unready"
    set_image(cluster, "web", "img:bad")
    await cluster.settle()
    sizes = sorted(each["spec"]["replicas"] for each in cluster.list("ReplicaSet"))
    assert sizes == [5, 8]
    cluster.patch("Deployment", "web", {"spec": {"replicas": 15}})
    await cluster.until(lambda: sum(e["spec"]["replicas"] for e in cluster.list("ReplicaSet")) == 18)
    sizes = sorted(each["spec"]["replicas"] for each in cluster.list("ReplicaSet"))
    assert sizes == [7, 11]


async def test_progress_deadline(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    cluster.verdict = lambda pod: "unready"
    deployment(cluster, "web", 1, progressDeadlineSeconds=20)
    await clock.advance(cluster, 10)
    assert condition(cluster.get("Deployment", "web"), "Progressing")["status"] == "True"
    await clock.advance(cluster, 20)
    progressing = condition(cluster.get("Deployment", "web"), "Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")
    assert progressing["message"].endswith("has timed out progressing.")


async def test_min_ready_seconds_delays_availability(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    deployment(cluster, "web", 2, minReadySeconds=10)
    await clock.advance(cluster, 5)
    status = cluster.get("Deployment", "web")["status"]
    assert (status["readyReplicas"], status.get("availableReplicas", 0)) == (2, 0)
    await clock.advance(cluster, 8)
    assert cluster.get("Deployment", "web")["status"]["availableReplicas"] == 2


async def test_history_limit_drops_the_oldest(cluster: Cluster) -> None:
    deployment(cluster, "web", 1, revisionHistoryLimit=1)
    await rolled_out(cluster, "web", 1)
    for version in ("2", "3", "4"):
        set_image(cluster, "web", f"img:{version}")
        await rolled_out(cluster, "web", 1)
    revisions = {each["metadata"]["annotations"][REVISION] for each in cluster.list("ReplicaSet")}
    assert revisions == {"3", "4"}


async def test_name_collision_hashes_anew(cluster: Cluster) -> None:
    deployment(cluster, "web", 1)
    await rolled_out(cluster, "web", 1)
    [mine] = cluster.list("ReplicaSet")
    cluster.delete("Deployment", "web", policy="Background")
    await cluster.until(lambda: not cluster.list("ReplicaSet"))
    labels = {"app": "stranger"}
    cluster.create(
        "ReplicaSet",
        mine["metadata"]["name"],
        spec={"replicas": 0, "selector": {"matchLabels": labels}, "template": template("stranger")},
    )
    deployment(cluster, "web", 1)
    await rolled_out(cluster, "web", 1)
    assert cluster.get("Deployment", "web")["status"]["collisionCount"] == 1


async def test_adopts_orphaned_replica_set(cluster: Cluster) -> None:
    deployment(cluster, "web", 2)
    await rolled_out(cluster, "web", 2)
    uids = {pod["metadata"]["uid"] for pod in cluster.list("Pod")}
    cluster.delete("Deployment", "web", policy="Orphan")
    await cluster.until(lambda: cluster.gone("Deployment", "web"))
    assert "ownerReferences" not in cluster.list("ReplicaSet")[0]["metadata"]
    deployment(cluster, "web", 2)
    await rolled_out(cluster, "web", 2)
    assert {pod["metadata"]["uid"] for pod in cluster.list("Pod")} == uids
    assert len(cluster.list("ReplicaSet")) == 1


@pytest.mark.parametrize("replicas", [0, 5])
async def test_scale_to(cluster: Cluster, replicas: int) -> None:
    deployment(cluster, "web", 2)
    await rolled_out(cluster, "web", 2)
    cluster.patch("Deployment", "web", {"spec": {"replicas": replicas}})
    await cluster.until(lambda: len(cluster.list("Pod")) == replicas)
    await cluster.settle()
    status: dict[str, Any] = cluster.get("Deployment", "web")["status"]
    assert status.get("availableReplicas", 0) == replicas
