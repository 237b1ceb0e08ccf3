"""Endpoints and EndpointSlices follow services and pods."""

from __future__ import annotations

from typing import Any

from controllers_cluster import Cluster, deployment, is_ready

from lab.kube.objects import KubeObject


def service(cluster: Cluster, name: str = "web", **spec: Any) -> KubeObject:
    ports = [
        {"name": "http", "port": 80, "targetPort": "http"},
        {"name": "raw", "port": 90, "targetPort": 9090},
    ]
    return cluster.create("Service", name, spec={"selector": {"app": "web"}, "ports": ports} | spec)


def slices(cluster: Cluster, name: str = "web") -> list[KubeObject]:
    return cluster.list("EndpointSlice", selector=f"kubernetes.io/service-name={name}")


def conditions(cluster: Cluster) -> dict[str, dict[str, bool]]:
    return {
        endpoint["targetRef"]["name"]: endpoint["conditions"]
        for each in slices(cluster)
        for endpoint in each.get("endpoints") or ()
    }


async def ready(cluster: Cluster, count: int) -> None:
    await cluster.until(lambda: sum(map(is_ready, cluster.list("Pod"))) == count)
    await cluster.settle()


async def test_named_and_numbered_ports(cluster: Cluster) -> None:
    service(cluster)
    deployment(cluster, "web", 2)
    await ready(cluster, 2)
    [found] = slices(cluster)
    assert found["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == (
        "endpointslice-controller.k8s.io"
    )
    assert {(p["name"], p["port"]) for p in found["ports"]} == {("http", 8080), ("raw", 9090)}
    assert len(found["endpoints"]) == 2
    [subset] = cluster.get("Endpoints", "web")["subsets"]
    ips = {pod["status"]["podIP"] for pod in cluster.list("Pod")}
    assert {address["ip"] for address in subset["addresses"]} == ips


async def test_unready_and_terminating(cluster: Cluster) -> None:
    service(cluster)
    deployment(cluster, "web", 2)
    await ready(cluster, 2)
    sick, leaving = cluster.list("Pod")
    cluster.mark(sick, "unready")
    cluster.linger = True
    cluster.verdict = lambda pod: "stuck"
    cluster.delete("Pod", leaving["metadata"]["name"])
    await cluster.settle()
    found = conditions(cluster)
    assert found[sick["metadata"]["name"]] == {"ready": False, "serving": False, "terminating": False}
    assert found[leaving["metadata"]["name"]] == {"ready": False, "serving": True, "terminating": True}
    [subset] = cluster.get("Endpoints", "web")["subsets"]
    assert "addresses" not in subset
    assert [a["targetRef"]["name"] for a in subset["notReadyAddresses"]] == [sick["metadata"]["name"]]


async def test_publish_not_ready_addresses(cluster: Cluster) -> None:
    cluster.verdict = lambda pod: "unready"
    service(cluster, publishNotReadyAddresses=True)
    deployment(cluster, "web", 1)
    await cluster.until(lambda: conditions(cluster))
    [found] = conditions(cluster).values()
    assert found["ready"] is True
    assert cluster.get("Endpoints", "web")["subsets"][0]["addresses"]


async def test_scaled_to_zero_then_deleted(cluster: Cluster) -> None:
    service(cluster)
    deployment(cluster, "web", 1)
    await ready(cluster, 1)
    cluster.patch("Deployment", "web", {"spec": {"replicas": 0}})
    await cluster.until(lambda: not cluster.list("Pod"))
    await cluster.settle()
    assert not cluster.get("Endpoints", "web").get("subsets")
    assert not conditions(cluster)
    cluster.delete("Service", "web")
    await cluster.until(lambda: not slices(cluster) and cluster.gone("Endpoints", "web"))


async def test_selectorless_service_is_left_alone(cluster: Cluster) -> None:
    service(cluster, selector=None)
    subsets = [{"addresses": [{"ip": "127.99.0.9"}], "ports": [{"port": 1}]}]
    cluster.create("Endpoints", "web", subsets=subsets)
    cluster.create("Endpoints", "lonely", subsets=subsets)
    await cluster.settle()
    assert cluster.get("Endpoints", "web")["subsets"][0]["addresses"][0]["ip"] == "127.99.0.9"
    assert not cluster.gone("Endpoints", "lonely")
    assert slices(cluster) == []


async def test_selector_change_moves_the_endpoints(cluster: Cluster) -> None:
    service(cluster)
    deployment(cluster, "web", 1)
    deployment(cluster, "other", 2)
    await ready(cluster, 3)
    cluster.patch("Service", "web", {"spec": {"selector": {"app": "other"}}})
    await cluster.until(lambda: len(conditions(cluster)) == 2)
    assert all(name.startswith("other-") for name in conditions(cluster))
