"""Whatever happens to pods, a rolling update stays between its fences."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from controllers_cluster import active, deployment, is_ready, running_cluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.kube.objects import KubeObject
from lab.kube.resources import Resource
from lab.localkube.controllers.rollout import fenceposts, proportions, resolve
from lab.localkube.protocols import WatchEvent

fences = st.one_of(st.integers(0, 6), st.integers(0, 100).map(lambda n: f"{n}%"))


async def roll(replicas: int, surge: int | str, unavailable: int | str, slow: set[int]) -> tuple[int, int]:
    """Roll out and give the most active and the fewest available pods seen after any single write."""
    with tempfile.TemporaryDirectory() as directory:
        async with running_cluster(Path(directory)) as cluster:
            rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
            strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
            deployment(cluster, "web", replicas, strategy=strategy)
            await cluster.until(lambda: sum(map(is_ready, cluster.list("Pod"))) == replicas)
            await cluster.settle()
            most, fewest, serial = replicas, replicas, iter(range(10_000))
            late: list[KubeObject] = []

            def judge(resource: Resource, event: WatchEvent) -> None:
                nonlocal most, fewest
                if resource.plural == "pods":
                    alive = active(cluster.list("Pod"))
                    most = max(most, len(alive))
                    fewest = min(fewest, sum(map(is_ready, alive)))

            def verdict(pod: KubeObject) -> str:
                if next(serial) % 5 in slow:
                    late.append(pod)
                    return "stuck"
                return "ready"

            cluster.registry.subscribe(judge)
            cluster.verdict = verdict
            container = {"name": "main", "image": "img:2"}
            cluster.patch("Deployment", "web", {"spec": {"template": {"spec": {"containers": [container]}}}})

            def complete() -> bool:
                while late:
                    pod = late.pop()
                    if not cluster.gone("Pod", pod["metadata"]["name"]):
                        cluster.mark(pod, "ready")
                found = cluster.get("Deployment", "web")
                status = found["status"]
                return (
                    status["observedGeneration"] == found["metadata"]["generation"] == 2
                    and status.get("updatedReplicas", 0) == status.get("availableReplicas", 0) == replicas
                    and len(cluster.list("Pod")) == replicas
                )

            await cluster.until(complete, 20)
            return most, fewest


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    replicas=st.integers(1, 24), surge=fences, unavailable=fences, slow=st.sets(st.integers(0, 4), max_size=4)
)
def test_rolling_update_stays_between_its_fences(
    replicas: int, surge: int | str, unavailable: int | str, slow: set[int]
) -> None:
    ceiling = resolve(surge, replicas, up=True)
    slack = resolve(unavailable, replicas, up=False)
    if ceiling == 0 and slack == 0:
        if surge in (0, "0%") and unavailable in (0, "0%"):
            return  # refused by validation
        slack = 1
    with asyncio.Runner() as runner:
        most, fewest = runner.run(roll(replicas, surge, unavailable, slow))
    assert most <= replicas + ceiling
    assert fewest >= max(0, replicas - slack)


def _deployment(replicas: int, surge: int | str, unavailable: int | str) -> KubeObject:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}


@given(replicas=st.integers(1, 500), surge=fences, unavailable=fences)
def test_fenceposts_never_block(replicas: int, surge: int | str, unavailable: int | str) -> None:
    up, down = fenceposts(_deployment(replicas, surge, unavailable))
    assert up + down > 0
    assert up >= 0 <= down


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    before=st.integers(1, 100),
    after=st.integers(0, 100),
)
def test_proportional_scaling_reaches_the_total(sizes: list[int], before: int, after: int) -> None:
    owner = _deployment(after, 3, 0)
    annotations = {"deployment.kubernetes.io/max-replicas": str(before + 3)}
    sets = [
        {
            "metadata": {
                "name": str(n),
                "creationTimestamp": f"2026-01-01T00:00:{n:02}Z",
                "annotations": annotations,
            },
            "spec": {"replicas": size},
        }
        for n, size in enumerate(sizes)
    ]
    result = proportions(owner, sets, 3)
    assert all(size >= 0 for _, size in result)
    wanted = after + 3 if after else 0
    if wanted >= sum(sizes):
        assert sum(size for _, size in result) == wanted
    else:
        assert sum(size for _, size in result) >= min(wanted, sum(sizes))
