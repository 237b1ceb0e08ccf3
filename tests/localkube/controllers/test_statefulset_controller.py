"""StatefulSets: order, identity, rolling updates with a partition, revisions, claims."""

from __future__ import annotations

from typing import Any

import pytest
from controllers_cluster import Cluster, ManualClock, active, template

from lab.kube.objects import KubeObject

HASH = "controller-revision-hash"


def stateful_set(cluster: Cluster, name: str, replicas: int, **spec: Any) -> KubeObject:
    body = {
        "replicas": replicas,
        "serviceName": name,
        "selector": {"matchLabels": {"app": name}},
        "template": template(name),
    }
    return cluster.create("StatefulSet", name, spec=body | spec)


def names(cluster: Cluster) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in cluster.list("Pod"))


def images(cluster: Cluster) -> dict[str, str]:
    return {p["metadata"]["name"]: p["spec"]["containers"][0]["image"] for p in active(cluster.list("Pod"))}


def set_image(cluster: Cluster, name: str, image: str) -> None:
    container = {"name": "main", "image": image}
    cluster.patch("StatefulSet", name, {"spec": {"template": {"spec": {"containers": [container]}}}})


async def rolled_out(cluster: Cluster, name: str, replicas: int) -> KubeObject:
    """What `kubectl rollout status` waits for, and the revisions have met."""

    def done() -> bool:
        found = cluster.get("StatefulSet", name)
        status = found["status"]
        return (
            status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            and status.get("updateRevision") == status.get("currentRevision")
            and status.get("readyReplicas", 0) == status["replicas"] == replicas
        )

    await cluster.until(done)
    await cluster.settle()
    return cluster.get("StatefulSet", name)


async def test_pods_come_one_after_the_other_with_stable_names(cluster: Cluster) -> None:
    cluster.verdict = lambda pod: "unready"
    stateful_set(cluster, "db", 3)
    await cluster.until(lambda: names(cluster) == ["db-0"])
    await cluster.settle()
    assert names(cluster) == ["db-0"]
    cluster.verdict = lambda pod: "ready"
    cluster.mark(cluster.get("Pod", "db-0"), "ready")
    found = await rolled_out(cluster, "db", 3)
    assert names(cluster) == ["db-0", "db-1", "db-2"]
    revision = found["status"]["updateRevision"]
    pod = cluster.get("Pod", "db-1")
    assert pod["metadata"]["labels"] == {
        "app": "db",
        "apps.kubernetes.io/pod-index": "1",
        "statefulset.kubernetes.io/pod-name": "db-1",
        HASH: revision,
    }
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
    assert found["status"] == {
        "observedGeneration": 1,
        "replicas": 3,
        "readyReplicas": 3,
        "currentReplicas": 3,
        "updatedReplicas": 3,
        "availableReplicas": 3,
        "currentRevision": revision,
        "updateRevision": revision,
        "collisionCount": 0,
    }
    [event] = [text for text in cluster.messages("SuccessfulCreate") if "db-2" in text]
    assert event == "create Pod db-2 in StatefulSet db successful"


async def test_scales_down_from_the_highest_and_waits_for_each(cluster: Cluster) -> None:
    stateful_set(cluster, "db", 3)
    await rolled_out(cluster, "db", 3)
    cluster.linger = True
    cluster.patch("StatefulSet", "db", {"spec": {"replicas": 1}})
    await cluster.settle()
    assert [p["metadata"]["name"] for p in active(cluster.list("Pod"))] == ["db-0", "db-1"]
    cluster.bury(cluster.get("Pod", "db-2"))
    await cluster.settle()
    assert [p["metadata"]["name"] for p in active(cluster.list("Pod"))] == ["db-0"]
    cluster.bury(cluster.get("Pod", "db-1"))
    await rolled_out(cluster, "db", 1)
    assert "delete Pod db-2 in StatefulSet db successful" in cluster.messages("SuccessfulDelete")


async def test_an_unhealthy_pod_holds_back_a_scale_down_unless_it_is_the_one_to_go(cluster: Cluster) -> None:
    stateful_set(cluster, "db", 3)
    await rolled_out(cluster, "db", 3)
    cluster.mark(cluster.get("Pod", "db-0"), "unready")
    cluster.patch("StatefulSet", "db", {"spec": {"replicas": 1}})
    await cluster.settle()
    assert names(cluster) == ["db-0", "db-1", "db-2"]
    cluster.mark(cluster.get("Pod", "db-1"), "unready")
    cluster.mark(cluster.get("Pod", "db-0"), "ready")
    await cluster.until(lambda: names(cluster) == ["db-0"])


async def test_parallel_does_not_wait(cluster: Cluster) -> None:
    cluster.verdict = lambda pod: "stuck"
    stateful_set(cluster, "db", 3, podManagementPolicy="Parallel")
    await cluster.until(lambda: names(cluster) == ["db-0", "db-1", "db-2"])
    cluster.patch("StatefulSet", "db", {"spec": {"replicas": 0}})
    await cluster.until(lambda: names(cluster) == [])


async def test_ordinals_may_start_elsewhere(cluster: Cluster) -> None:
    stateful_set(cluster, "db", 2, ordinals={"start": 3})
    await rolled_out(cluster, "db", 2)
    assert names(cluster) == ["db-3", "db-4"]
    cluster.patch("StatefulSet", "db", {"spec": {"ordinals": {"start": 4}}})
    await cluster.until(lambda: names(cluster) == ["db-4", "db-5"])


async def test_rolls_from_the_last_to_the_first_and_back(cluster: Cluster) -> None:
    stateful_set(cluster, "db", 3)
    first = (await rolled_out(cluster, "db", 3))["status"]["currentRevision"]
    cluster.seen.clear()
    set_image(cluster, "db", "img:2")
    second = (await rolled_out(cluster, "db", 3))["status"]["currentRevision"]
    assert second != first
    gone = [event.object["metadata"]["name"] for event in cluster.seen if event.type == "DELETED"]
    assert gone == ["db-2", "db-1", "db-0"]
    assert set(images(cluster).values()) == {"img:2"}
    set_image(cluster, "db", "img:1")
    assert (await rolled_out(cluster, "db", 3))["status"]["currentRevision"] == first
    revisions = {each["metadata"]["name"]: each["revision"] for each in cluster.list("ControllerRevision")}
    assert revisions == {first: 3, second: 2}


async def test_a_partition_keeps_the_lower_pods_at_the_old_revision(cluster: Cluster) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    stateful_set(cluster, "db", 3, updateStrategy=strategy)
    await rolled_out(cluster, "db", 3)
    set_image(cluster, "db", "img:2")
    expected = {"db-0": "img:1", "db-1": "img:1", "db-2": "img:2"}
    await cluster.until(lambda: images(cluster) == expected)
    await cluster.settle()
    status = cluster.get("StatefulSet", "db")["status"]
    assert (status["currentReplicas"], status["updatedReplicas"]) == (2, 1)
    assert status["currentRevision"] != status["updateRevision"]
    cluster.delete("Pod", "db-0")
    await cluster.until(lambda: images(cluster) == expected)
    cluster.patch("StatefulSet", "db", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
    await rolled_out(cluster, "db", 3)
    assert set(images(cluster).values()) == {"img:2"}


async def test_a_bad_update_stops_at_the_first_pod(cluster: Cluster) -> None:
    stateful_set(cluster, "db", 3)
    await rolled_out(cluster, "db", 3)
    cluster.verdict = lambda pod: "unready"
    set_image(cluster, "db", "img:bad")
    await cluster.settle()
    assert images(cluster) == {"db-0": "img:1", "db-1": "img:1", "db-2": "img:bad"}


async def test_on_delete_waits_for_a_person(cluster: Cluster) -> None:
    stateful_set(cluster, "db", 2, updateStrategy={"type": "OnDelete"})
    await rolled_out(cluster, "db", 2)
    set_image(cluster, "db", "img:2")
    await cluster.settle()
    assert set(images(cluster).values()) == {"img:1"}
    cluster.delete("Pod", "db-0")
    await cluster.until(lambda: images(cluster) == {"db-0": "img:2", "db-1": "img:1"})


async def test_history_is_limited_and_keeps_what_runs(cluster: Cluster) -> None:
    stateful_set(cluster, "db", 1, revisionHistoryLimit=1)
    for version in range(2, 6):
        await rolled_out(cluster, "db", 1)
        set_image(cluster, "db", f"img:{version}")
    await rolled_out(cluster, "db", 1)
    await cluster.until(lambda: [e["revision"] for e in cluster.list("ControllerRevision")] != [])
    assert sorted(each["revision"] for each in cluster.list("ControllerRevision")) == [4, 5]


async def test_minimum_of_ready_seconds(timed: tuple[Cluster, ManualClock]) -> None:
    cluster, clock = timed
    stateful_set(cluster, "db", 2, minReadySeconds=10)
    await clock.advance(cluster, 8)
    assert names(cluster) == ["db-0"]
    status = cluster.get("StatefulSet", "db")["status"]
    assert (status["readyReplicas"], status["availableReplicas"]) == (1, 0)
    await clock.advance(cluster, 4)
    assert names(cluster) == ["db-0", "db-1"]


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
async def test_an_ended_pod_is_made_anew(cluster: Cluster, phase: str) -> None:
    stateful_set(cluster, "db", 1)
    await rolled_out(cluster, "db", 1)
    before = cluster.get("Pod", "db-0")
    cluster.mark(before, phase)
    await cluster.until(lambda: cluster.get("Pod", "db-0")["metadata"]["uid"] != before["metadata"]["uid"])


async def test_adopts_only_pods_of_its_name_and_releases_what_no_longer_matches(cluster: Cluster) -> None:
    for name in ("db-0", "other"):
        pod = template("db")
        cluster.create("Pod", name, metadata={"labels": pod["metadata"]["labels"]}, spec=pod["spec"])
    stateful_set(cluster, "db", 1, updateStrategy={"type": "OnDelete"})
    await cluster.until(lambda: cluster.get("Pod", "db-0")["metadata"].get("ownerReferences"))
    await cluster.settle()
    assert not cluster.get("Pod", "other")["metadata"].get("ownerReferences")
    cluster.patch("Pod", "db-0", {"metadata": {"labels": {"app": "mine"}}})
    await cluster.until(lambda: not cluster.get("Pod", "db-0")["metadata"].get("ownerReferences"))
    assert "FailedCreate" not in cluster.reasons("db")


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_goes_with_all_that_it_owns(cluster: Cluster, policy: str) -> None:
    stateful_set(cluster, "db", 2)
    await rolled_out(cluster, "db", 2)
    cluster.delete("StatefulSet", "db", policy=policy)
    kinds = ("StatefulSet", "Pod", "ControllerRevision")
    await cluster.until(lambda: not any(cluster.list(kind) for kind in kinds))


async def test_endpoints_name_the_pods_of_the_governing_service(cluster: Cluster) -> None:
    ports = [{"port": 80, "targetPort": 8080}]
    for name, address in (("db", "None"), ("front", None)):
        fixed = {"clusterIP": address} if address else {}
        cluster.create("Service", name, spec={"selector": {"app": "db"}, "ports": ports} | fixed)
    stateful_set(cluster, "db", 2)
    await rolled_out(cluster, "db", 2)

    def hostnames(service: str) -> list[str | None]:
        [subset] = cluster.get("Endpoints", service)["subsets"]
        [found] = cluster.list("EndpointSlice", selector=f"kubernetes.io/service-name={service}")
        names = [each.get("hostname") for each in found["endpoints"]]
        assert names == [each.get("hostname") for each in subset["addresses"]]
        return names

    await cluster.until(lambda: hostnames("db") == ["db-0", "db-1"])
    assert hostnames("front") == [None, None]


def claim_templates() -> list[KubeObject]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return [{"metadata": {"name": "data"}, "spec": spec}]


def claims(cluster: Cluster) -> list[str]:
    return sorted(each["metadata"]["name"] for each in cluster.list("PersistentVolumeClaim"))


async def test_claims_outlive_their_pods(cluster: Cluster) -> None:
    stateful_set(cluster, "db", 2, volumeClaimTemplates=claim_templates())
    await rolled_out(cluster, "db", 2)
    assert claims(cluster) == ["data-db-0", "data-db-1"]
    volumes = cluster.get("Pod", "db-1")["spec"]["volumes"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}} in volumes
    text = "create Claim data-db-1 Pod db-1 in StatefulSet db success"
    assert text in cluster.messages("SuccessfulCreate")
    cluster.patch("StatefulSet", "db", {"spec": {"replicas": 1}})
    await rolled_out(cluster, "db", 1)
    cluster.delete("StatefulSet", "db")
    await cluster.until(lambda: not cluster.list("Pod"))
    assert claims(cluster) == ["data-db-0", "data-db-1"]


async def test_claims_go_where_the_policy_says_so(cluster: Cluster) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    more = {"persistentVolumeClaimRetentionPolicy": policy}
    stateful_set(cluster, "db", 2, volumeClaimTemplates=claim_templates(), **more)
    await rolled_out(cluster, "db", 2)
    owners = cluster.get("PersistentVolumeClaim", "data-db-0")["metadata"]["ownerReferences"]
    assert [(each["kind"], each["name"]) for each in owners] == [("StatefulSet", "db")]
    cluster.patch("StatefulSet", "db", {"spec": {"replicas": 1}})
    await cluster.until(lambda: claims(cluster) == ["data-db-0"])
    cluster.patch("StatefulSet", "db", {"spec": {"replicas": 2}})
    await rolled_out(cluster, "db", 2)
    assert claims(cluster) == ["data-db-0", "data-db-1"]
    cluster.delete("StatefulSet", "db")
    await cluster.until(lambda: not claims(cluster))
