"""Garbage collection, namespace deletion, accounts."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_cluster import Cluster, deployment

from lab.kube.objects import KubeObject
from lab.kube.status import StatusError


async def started(cluster: Cluster, replicas: int = 2) -> None:
    deployment(cluster, "web", replicas)
    await cluster.until(
        lambda: cluster.get("Deployment", "web")["status"].get("availableReplicas") == replicas
    )
    await cluster.settle()


def owner(obj: KubeObject, **more: Any) -> KubeObject:
    reference = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": obj["metadata"]["name"]}
    return reference | {"uid": obj["metadata"]["uid"]} | more


async def test_background_takes_everything(cluster: Cluster) -> None:
    await started(cluster)
    cluster.delete("Deployment", "web", policy="Background")
    assert cluster.gone("Deployment", "web")
    await cluster.until(lambda: not cluster.list("ReplicaSet") and not cluster.list("Pod"))


async def test_foreground_waits_for_the_pods(cluster: Cluster) -> None:
    await started(cluster)
    cluster.linger = True
    cluster.delete("Deployment", "web", policy="Foreground")
    await cluster.settle()
    assert cluster.get("Deployment", "web")["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert all(pod["metadata"]["deletionTimestamp"] for pod in cluster.list("Pod"))
    cluster.linger = False
    for pod in cluster.list("Pod"):
        cluster.bury(pod)
    await cluster.until(lambda: cluster.gone("Deployment", "web"))
    assert not cluster.list("ReplicaSet")


async def test_orphan_leaves_the_rest(cluster: Cluster) -> None:
    await started(cluster)
    cluster.delete("Deployment", "web", policy="Orphan")
    await cluster.until(lambda: cluster.gone("Deployment", "web"))
    await cluster.settle()
    assert len(cluster.list("Pod")) == 2
    [replica_set] = cluster.list("ReplicaSet")
    assert not replica_set["metadata"].get("ownerReferences")


async def test_object_of_an_absent_owner_goes(cluster: Cluster) -> None:
    lost = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "0000"}
    cluster.create("ConfigMap", "child", metadata={"ownerReferences": [lost]})
    await cluster.until(lambda: cluster.gone("ConfigMap", "child"))


async def test_one_living_owner_is_enough(cluster: Cluster) -> None:
    one = cluster.create("ConfigMap", "one")
    two = cluster.create("ConfigMap", "two")
    cluster.create("ConfigMap", "child", metadata={"ownerReferences": [owner(one), owner(two)]})
    cluster.delete("ConfigMap", "one")
    await cluster.settle()
    [left] = cluster.get("ConfigMap", "child")["metadata"]["ownerReferences"]
    assert left["name"] == "two"
    cluster.delete("ConfigMap", "two")
    await cluster.until(lambda: cluster.gone("ConfigMap", "child"))


async def test_reused_name_is_not_the_owner(cluster: Cluster) -> None:
    one = cluster.create("ConfigMap", "one")
    cluster.create("ConfigMap", "child", metadata={"ownerReferences": [owner(one)]})
    await cluster.settle()
    cluster.delete("ConfigMap", "one")
    cluster.create("ConfigMap", "one")
    await cluster.until(lambda: cluster.gone("ConfigMap", "child"))


async def test_owner_in_another_namespace_counts_as_absent(cluster: Cluster) -> None:
    one = cluster.create("ConfigMap", "one", namespace="kube-public")
    cluster.create("ConfigMap", "child", metadata={"ownerReferences": [owner(one)]})
    await cluster.until(lambda: cluster.gone("ConfigMap", "child"))


async def test_owner_of_an_unserved_kind_is_left_alone(cluster: Cluster) -> None:
    strange = {"apiVersion": "example.com/v1", "kind": "Widget", "name": "w", "uid": "0000"}
    cluster.create("ConfigMap", "child", metadata={"ownerReferences": [strange]})
    await cluster.settle()
    assert not cluster.gone("ConfigMap", "child")


async def test_namespace_deletion_empties_it(cluster: Cluster) -> None:
    cluster.create("Namespace", "shop")
    await cluster.settle()
    cluster.create("ConfigMap", "settings", namespace="shop")
    cluster.create("ConfigMap", "held", namespace="shop", metadata={"finalizers": ["example.com/hold"]})
    cluster.create("Pod", "p", namespace="shop", spec={"containers": [{"name": "m", "image": "i"}]})
    await cluster.settle()
    cluster.delete("Namespace", "shop")
    await cluster.settle()
    namespace = cluster.get("Namespace", "shop")
    assert namespace["status"]["phase"] == "Terminating"
    message = next(
        c["message"] for c in namespace["status"]["conditions"] if c["type"] == "NamespaceContentRemaining"
    )
    assert "configmaps. has 1 resource instances" in message
    with pytest.raises(StatusError, match="being terminated"):
        cluster.create("ConfigMap", "late", namespace="shop")
    cluster.patch("ConfigMap", "held", {"metadata": {"finalizers": None}}, namespace="shop")
    await cluster.until(lambda: cluster.gone("Namespace", "shop"))
    assert cluster.list("Pod", "shop") == []
    cluster.create("Namespace", "shop")
    await cluster.until(lambda: not cluster.gone("ServiceAccount", "default", "shop"))


async def test_accounts_and_root_certificate(cluster: Cluster) -> None:
    cluster.create("Namespace", "shop")
    await cluster.until(lambda: not cluster.gone("ServiceAccount", "default", "shop"))
    await cluster.settle()
    assert cluster.get("ConfigMap", "kube-root-ca.crt", "shop")["data"] == {"ca.crt": "CERTIFICATE"}
    cluster.delete("ServiceAccount", "default", "shop")
    cluster.patch("ConfigMap", "kube-root-ca.crt", {"data": {"ca.crt": "other"}}, "shop")
    await cluster.settle()
    assert not cluster.gone("ServiceAccount", "default", "shop")
    assert cluster.get("ConfigMap", "kube-root-ca.crt", "shop")["data"] == {"ca.crt": "CERTIFICATE"}
