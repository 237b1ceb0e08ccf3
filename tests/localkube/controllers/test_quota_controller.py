"""The status of ResourceQuotas, and what controllers do when one is spent."""

from __future__ import annotations

from controllers_cluster import Cluster, condition, deployment, is_ready


def used(cluster: Cluster) -> dict[str, str]:
    return dict(cluster.get("ResourceQuota", "q").get("status", {}).get("used") or {})


async def test_used_follows_what_is_there(cluster: Cluster) -> None:
    cluster.create("ResourceQuota", "q", spec={"hard": {"pods": "3", "count/deployments.apps": "2"}})
    await cluster.until(lambda: used(cluster) == {"pods": "0", "count/deployments.apps": "0"})
    assert cluster.get("ResourceQuota", "q")["status"]["hard"] == {
        "pods": "3",
        "count/deployments.apps": "2",
    }
    deployment(cluster, "web", 2)
    await cluster.until(lambda: used(cluster) == {"pods": "2", "count/deployments.apps": "1"})
    cluster.delete("Deployment", "web", policy="Background")
    await cluster.until(lambda: used(cluster) == {"pods": "0", "count/deployments.apps": "0"})


async def test_a_spent_quota_keeps_a_deployment_small_until_it_is_raised(cluster: Cluster) -> None:
    cluster.create("ResourceQuota", "q", spec={"hard": {"pods": "2"}})
    deployment(cluster, "web", 4)
    await cluster.until(lambda: condition(cluster.get("Deployment", "web"), "ReplicaFailure"))
    failure = condition(cluster.get("Deployment", "web"), "ReplicaFailure")
    assert failure["reason"] == "FailedCreate"
    assert "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2" in failure["message"]
    assert len(cluster.list("Pod")) == 2
    cluster.patch("ResourceQuota", "q", {"spec": {"hard": {"pods": "4"}}})
    await cluster.until(lambda: sum(map(is_ready, cluster.list("Pod"))) == 4, seconds=60)
