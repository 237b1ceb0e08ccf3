"""PersistentVolumeClaims get directories, keep them while they are used, and lose them in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from controllers_cluster import Cluster, template

from lab.kube.objects import KubeObject


def claim(cluster: Cluster, name: str = "data", **spec: Any) -> KubeObject:
    body = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return cluster.create("PersistentVolumeClaim", name, spec=body | spec)


async def bound(cluster: Cluster, name: str = "data") -> tuple[KubeObject, Path]:
    """The volume of a claim and its directory."""
    await cluster.until(lambda: cluster.get("PersistentVolumeClaim", name)["status"]["phase"] == "Bound")
    found = cluster.get("PersistentVolumeClaim", name)
    volume = cluster.get("PersistentVolume", found["spec"]["volumeName"])
    return volume, Path(volume["spec"]["hostPath"]["path"])


async def test_a_claim_gets_a_directory_and_takes_it_with_it(cluster: Cluster) -> None:
    claim(cluster)
    volume, directory = await bound(cluster)
    found = cluster.get("PersistentVolumeClaim", "data")
    assert found["spec"]["storageClassName"] == "standard"
    assert found["status"]["capacity"] == {"storage": "1Gi"}
    assert volume["spec"]["claimRef"]["uid"] == found["metadata"]["uid"]
    assert volume["status"]["phase"] == "Bound"
    assert directory.is_dir()
    (directory / "file").write_text("x")
    cluster.delete("PersistentVolumeClaim", "data")
    await cluster.until(lambda: cluster.gone("PersistentVolume", volume["metadata"]["name"]))
    await cluster.until(lambda: not directory.exists())


async def test_a_claim_in_use_stays(cluster: Cluster) -> None:
    claim(cluster)
    _, directory = await bound(cluster)
    source = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    pod = template("user", volumes=[source])
    cluster.create("Pod", "user", metadata={"labels": pod["metadata"]["labels"]}, spec=pod["spec"])
    cluster.delete("PersistentVolumeClaim", "data")
    await cluster.settle()
    assert cluster.get("PersistentVolumeClaim", "data")["metadata"]["deletionTimestamp"]
    assert directory.is_dir()
    cluster.delete("Pod", "user")
    await cluster.until(lambda: cluster.gone("PersistentVolumeClaim", "data"))
    await cluster.until(lambda: not directory.exists())


async def test_a_class_may_say_retain(cluster: Cluster) -> None:
    fields = {"provisioner": "localkube/directory", "reclaimPolicy": "Retain"}
    cluster.create("StorageClass", "kept", **fields)
    claim(cluster, storageClassName="kept")
    volume, directory = await bound(cluster)
    cluster.delete("PersistentVolumeClaim", "data")
    name = volume["metadata"]["name"]
    await cluster.until(lambda: cluster.get("PersistentVolume", name)["status"]["phase"] == "Released")
    assert directory.is_dir()


async def test_what_cannot_be_provided_stays_pending_and_says_why(cluster: Cluster) -> None:
    claim(cluster, "none", storageClassName="")
    claim(cluster, "fast", storageClassName="fast")
    claim(cluster, "block", volumeMode="Block")
    claim(cluster, "hand", volumeName="mine")
    for name in ("none", "fast", "block", "hand"):
        await cluster.until(lambda name=name: cluster.reasons(name))
        assert cluster.get("PersistentVolumeClaim", name)["status"]["phase"] == "Pending"
    assert cluster.reasons("none") == cluster.reasons("hand") == ["FailedBinding"]
    assert cluster.reasons("fast") == cluster.reasons("block") == ["ProvisioningFailed"]
    cluster.delete("PersistentVolumeClaim", "fast")
    await cluster.until(lambda: cluster.gone("PersistentVolumeClaim", "fast"))
