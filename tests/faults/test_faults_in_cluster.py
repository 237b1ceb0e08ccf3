"""Where a cluster is: the journal in a real ConfigMap, victims as the real API lists them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import any_cluster
import pytest

from lab.core.fault import FaultTarget, JournalEntry
from lab.faults.journal import NAME, ConfigMapStore, Journal
from lab.faults.registry import SPECS
from lab.faults.shop_queue import PodVictims
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

pytestmark = pytest.mark.safety


@pytest.fixture
async def kube(tmp_path: Path) -> AsyncIterator[KubeClient]:
    """An API server, without pods that run."""
    with any_cluster.cluster(tmp_path) as admin:
        async with KubeClient(load_kubeconfig(admin)) as client:
            await any_cluster.furnish(client)
            yield client


def worker(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "worker"}, **metadata},
        "spec": {
            "schedulerName": any_cluster.UNSCHEDULED,
            "containers": [{"name": "worker", "image": "toil-lab"}],
        },
    }


async def test_the_journal_lives_in_a_config_map(kube: KubeClient) -> None:
    store = ConfigMapStore(kube)
    assert await store.load() is None
    journal, now = Journal(), datetime(2030, 1, 1, tzinfo=UTC)
    target = FaultTarget("Pod", "shop", "worker-1", 1)
    entry = JournalEntry(journal.next_id("hung-workers"), "hung-workers", target, False, {"count": 1}, now)
    journal.put(entry)
    await store.save(journal.as_bytes())
    journal.put(entry.applied(now, 5))
    await store.save(journal.as_bytes())
    assert Journal.from_bytes(await store.load(), SPECS) == journal
    assert (await kube.get("configmaps", NAME, "lab-system"))["data"].keys() == {"journal.json"}


async def test_a_pod_that_is_gone_or_going_is_no_longer_a_victim(kube: KubeClient) -> None:
    victims = PodVictims(kube)
    await kube.create("pods", worker("here"))
    await kube.create("pods", worker("going", finalizers=["lab.example/wait"]))
    await kube.create("pods", worker("gone"))
    await kube.create("pods", worker("evicted"))
    status = {"status": {"phase": "Failed", "reason": "Evicted"}}
    await kube.patch("pods", "evicted", status, "shop", subresource="status")
    await kube.create("pods", worker("other", labels={"app": "api"}))
    assert await victims.alive() == {"here", "going", "gone"}
    await kube.delete("pods", "going", "shop", grace_period_seconds=0)
    await kube.delete("pods", "gone", "shop", grace_period_seconds=0)
    assert await victims.alive() == {"here"}
