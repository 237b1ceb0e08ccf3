"""The boundaries of a lab that shares its cluster: wide enough for all that it does, and narrow enough."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import any_cluster
import pytest

from lab.core.namespaces import AUTOMATION, LAB_SYSTEM, PLAIN, SHOP, Namespaces
from lab.core.places import data_root
from lab.core.staffing import MOST_WORKERS
from lab.engine.boundaries import bounded
from lab.engine.bringup import load_manifests
from lab.engine.renaming import renamed
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.quantity import parse_quantity
from lab.kube.status import StatusError

CLUSTERS = data_root() / "clusters"
SPARE, MOST_SPARE = 1.5, 8.0
"""A quota is at least and at most so many times what the lab can want."""


def base() -> list[Any]:
    parts = sorted((CLUSTERS / "parts").glob("*.yaml"))
    return load_manifests(CLUSTERS / "base", *parts)


def boundaries() -> list[Any]:
    return load_manifests(CLUSTERS / "boundaries")


def wanted() -> dict[str, Counter[str]]:
    """What the pods of a namespace ask for at most: every part, the most workers, one pod more of each for a
    rollout, and the faults' own pods."""
    asked: dict[str, Counter[str]] = {name: Counter() for name in PLAIN}
    for deployment in (m for m in base() if m["kind"] == "Deployment"):
        name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
        pods = (MOST_WORKERS if name == "worker" else max(1, deployment["spec"].get("replicas", 1))) + 1
        asked[namespace]["pods"] += pods
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            for resource, amount in amounts(container).items():
                asked[namespace][resource] += pods * amount
    asked[SHOP]["limits.memory"] += int(parse_quantity("4Gi"))  # noisy-neighbour
    return asked


def amounts(container: Any) -> dict[str, Any]:
    resources = container["resources"]
    return {
        "requests.cpu": float(parse_quantity(resources["requests"].get("cpu", "50m"))),
        "requests.memory": int(parse_quantity(resources["requests"]["memory"])),
        "limits.memory": int(parse_quantity(resources["limits"]["memory"])),
    }


def test_quotas_hold_all_that_a_lab_does_and_not_much_more() -> None:
    quotas = {
        m["metadata"]["namespace"]: m["spec"]["hard"] for m in boundaries() if m["kind"] == "ResourceQuota"
    }
    asked = wanted()
    assert quotas.keys() == asked.keys()
    for namespace, most in asked.items():
        for resource, amount in most.items():
            hard = float(parse_quantity(quotas[namespace][resource]))
            assert SPARE * amount <= hard <= MOST_SPARE * amount, (namespace, resource, amount, hard)


def test_namespaces_refuse_what_could_harm_a_node_and_no_fault_cordons_one() -> None:
    made = bounded(copy.deepcopy(base()), boundaries())
    for manifest in made:
        if manifest["kind"] == "Namespace":
            assert manifest["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        if manifest["kind"] == "ClusterRole":
            for rule in manifest["rules"]:
                assert "nodes" not in rule["resources"] or set(rule["verbs"]) <= {"get", "list"}


def test_an_automation_reaches_the_gateway_and_not_around_it() -> None:
    """By the policies alone: which pods, on which ports, an automation's pod may open connections to."""
    policies = [m for m in boundaries() if m["kind"] == "NetworkPolicy"]
    (out,) = [p for p in policies if "Egress" in p["spec"]["policyTypes"]]
    assert (out["metadata"]["namespace"], out["spec"]["podSelector"]) == (AUTOMATION, {})
    reached = set()
    for rule in out["spec"]["egress"]:
        ports = {port["port"] for port in rule["ports"]}
        if "to" not in rule:
            assert ports == {53}
            continue
        (peer,) = rule["to"]
        place = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        app = peer["podSelector"]["matchLabels"]["app"]
        reached |= {(place, app, port) for port in ports}
    entrances = {
        (p["metadata"]["namespace"], p["spec"]["podSelector"]["matchLabels"]["app"], port["port"])
        for p in policies
        if p["spec"]["podSelector"]
        for port in p["spec"]["ingress"][0]["ports"]
    }
    assert reached == entrances
    assert reached == {
        (LAB_SYSTEM, "gateway", 8443),
        (LAB_SYSTEM, "gateway", 9000),
        (LAB_SYSTEM, "pager", 8080),
        (LAB_SYSTEM, "prometheus", 9090),
        (SHOP, "db", 5432),
    }


@pytest.mark.parametrize("namespace", PLAIN)
def test_into_each_namespace_come_the_labs_own_pods_alone(namespace: str) -> None:
    policies = [
        m
        for m in boundaries()
        if m["kind"] == "NetworkPolicy"
        and m["metadata"]["namespace"] == namespace
        and "Ingress" in m["spec"]["policyTypes"]
    ]
    assert any(not policy["spec"]["podSelector"] for policy in policies)  # it is closed to begin with
    for policy in (renamed(p, Namespaces("team-a")) for p in policies):
        for rule in policy["spec"]["ingress"]:
            for peer in rule["from"]:
                chosen = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
                assert chosen in Namespaces("team-a").all


@pytest.mark.slow
@any_cluster.own_cluster_only
async def test_pods_that_do_not_say_what_they_need_get_something_and_too_many_are_refused(
    tmp_path: Path,
) -> None:
    with any_cluster.cluster(tmp_path) as kubeconfig:
        async with KubeClient(load_kubeconfig(kubeconfig)) as kube:
            for name in PLAIN:
                await kube.create("namespaces", {"metadata": {"name": name}})
            for manifest in boundaries():
                await kube.create(manifest["kind"], manifest)
            spec = {
                "schedulerName": any_cluster.UNSCHEDULED,
                "containers": [{"name": "c", "image": "toil-lab"}],
            }
            made = await kube.create("pods", {"metadata": {"name": "p"}, "spec": spec}, AUTOMATION)
            resources = made["spec"]["containers"][0]["resources"]
            assert resources["requests"].keys() == {"cpu", "memory"}
            assert "memory" in resources["limits"]
            big = copy.deepcopy(spec)
            big["containers"][0]["resources"] = {"limits": {"memory": "1Ti"}, "requests": {"memory": "1Mi"}}  # type: ignore[index]
            with pytest.raises(StatusError, match="exceeded quota"):
                await kube.create("pods", {"metadata": {"name": "q"}, "spec": big}, AUTOMATION)
