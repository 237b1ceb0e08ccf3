"""PodDisruptionBudget status, and evictions against it."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_cluster import Cluster, ManualClock, condition, deployment, is_ready

from lab.kube.status import StatusError


def budget(cluster: Cluster, **spec: Any) -> None:
    selector = {"matchLabels": {"app": "web"}}
    cluster.create("PodDisruptionBudget", "web", spec={"selector": selector} | spec)


def numbers(cluster: Cluster) -> tuple[int, int, int, int]:
    status = cluster.get("PodDisruptionBudget", "web")["status"]
    fields = ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed")
    return tuple(status[field] for field in fields)  # type: ignore[return-value]


def evict(cluster: Cluster, name: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
    cluster.registry.evict("default", name, body)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"minAvailable": 3}, (4, 3, 4, 1)),
        ({"minAvailable": "50%"}, (4, 2, 4, 2)),
        ({"maxUnavailable": 1}, (4, 3, 4, 1)),
        ({"maxUnavailable": "30%"}, (4, 2, 4, 2)),
        ({"minAvailable": 9}, (4, 9, 4, 0)),
    ],
)
async def test_status(cluster: Cluster, spec: dict[str, Any], expected: tuple[int, ...]) -> None:
    deployment(cluster, "web", 4)
    budget(cluster, **spec)
    await cluster.until(lambda: sum(map(is_ready, cluster.list("Pod"))) == 4)
    await cluster.settle()
    assert numbers(cluster) == expected
    found = cluster.get("PodDisruptionBudget", "web")
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    allowed = condition(found, "DisruptionAllowed")
    assert allowed["reason"] == ("SufficientPods" if expected[3] else "InsufficientPods")


async def test_evictions_spend_the_budget(cluster: Cluster) -> None:
    deployment(cluster, "web", 3)
    budget(cluster, minAvailable=2)
    await cluster.until(lambda: sum(map(is_ready, cluster.list("Pod"))) == 3)
    await cluster.settle()
    cluster.verdict = lambda pod: "unready"
    first, second, _ = (pod["metadata"]["name"] for pod in cluster.list("Pod"))
    evict(cluster, first)
    await cluster.until(lambda: cluster.gone("Pod", first))
    await cluster.settle()
    assert numbers(cluster) == (3, 2, 2, 0)
    with pytest.raises(StatusError) as refused:
        evict(cluster, second)
    assert refused.value.code == 429
    for pod in cluster.list("Pod"):
        cluster.mark(pod, "ready")
    await cluster.settle()
    assert numbers(cluster) == (3, 2, 3, 1)
    assert "disruptedPods" not in cluster.get("PodDisruptionBudget", "web")["status"]


async def test_disrupted_pods_age_out(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    deployment(cluster, "web", 2)
    budget(cluster, minAvailable=1)
    await clock.advance(cluster, 1)
    name = cluster.list("Pod")[0]["metadata"]["name"]
    cluster.registry.patch(
        cluster.registry.resource("policy", "v1", "poddisruptionbudgets"),
        "default",
        "web",
        {"status": {"disruptedPods": {name: "2026-01-01T12:00:01Z"}}},
        "application/merge-patch+json",
        subresource="status",
    )
    await clock.advance(cluster, 60, step=10)
    assert numbers(cluster)[2:] == (1, 0)
    await clock.advance(cluster, 80, step=10)
    assert numbers(cluster)[2:] == (2, 1)


async def test_unmanaged_pods_fail_the_sync(cluster: Cluster) -> None:
    spec = {"containers": [{"name": "main", "image": "img"}]}
    cluster.create("Pod", "bare", metadata={"labels": {"app": "web"}}, spec=spec)
    budget(cluster, maxUnavailable=1)
    await cluster.until(lambda: cluster.get("PodDisruptionBudget", "web").get("status", {}).get("conditions"))
    await cluster.settle()
    assert condition(cluster.get("PodDisruptionBudget", "web"), "DisruptionAllowed")["reason"] == "SyncFailed"
    assert numbers(cluster)[3] == 0
