"""Aggregated ClusterRoles have the rules of those that they select."""

from __future__ import annotations

from controllers_cluster import Cluster

from lab.localkube.api.bootstrap import bootstrap

READ_WIDGETS = {"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get", "list"]}
WRITE_WIDGETS = READ_WIDGETS | {"verbs": ["create"]}
LABEL = "rbac.authorization.k8s.io/aggregate-to-"


def role(cluster: Cluster, name: str, rules: list[dict], **labels: str) -> None:
    cluster.create("ClusterRole", name, metadata={"labels": labels}, rules=rules)


def rules(cluster: Cluster, name: str) -> list[dict]:
    return cluster.get("ClusterRole", name).get("rules") or []


async def test_rules_follow_the_selected_roles(cluster: Cluster) -> None:
    role(cluster, "b", [WRITE_WIDGETS, READ_WIDGETS], kit="1")
    role(cluster, "a", [READ_WIDGETS], kit="1")
    role(cluster, "other", [WRITE_WIDGETS], kit="2")
    rule = {"clusterRoleSelectors": [{"matchLabels": {"kit": "1"}}]}
    cluster.create(
        "ClusterRole",
        "all",
        aggregationRule=rule,
        rules=[{"verbs": ["*"], "apiGroups": [""], "resources": ["mine"]}],
    )
    await cluster.until(lambda: rules(cluster, "all") == [READ_WIDGETS, WRITE_WIDGETS])
    cluster.delete("ClusterRole", "b")
    await cluster.until(lambda: rules(cluster, "all") == [READ_WIDGETS])
    cluster.patch("ClusterRole", "other", {"metadata": {"labels": {"kit": "1"}}})
    await cluster.until(lambda: rules(cluster, "all") == [READ_WIDGETS, WRITE_WIDGETS])
    cluster.patch("ClusterRole", "all", {"rules": [WRITE_WIDGETS]})
    await cluster.until(lambda: rules(cluster, "all") == [READ_WIDGETS, WRITE_WIDGETS])
    cluster.patch(
        "ClusterRole", "all", {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"kit": "0"}}]}}
    )
    await cluster.until(lambda: rules(cluster, "all") == [])


async def test_the_default_roles_grow_by_label_one_through_the_other(cluster: Cluster) -> None:
    bootstrap(cluster.registry)
    await cluster.settle()
    version = cluster.registry.rv
    await cluster.settle()
    before = {name: rules(cluster, name) for name in ("view", "edit", "admin")}
    assert cluster.registry.rv == version, "they are whole from the start"
    role(cluster, "widgets", [READ_WIDGETS], **{f"{LABEL}view": "true"})
    await cluster.until(lambda: READ_WIDGETS in rules(cluster, "admin"))
    assert READ_WIDGETS in rules(cluster, "view")
    assert READ_WIDGETS in rules(cluster, "edit")
    role(cluster, "widgets-edit", [WRITE_WIDGETS], **{f"{LABEL}edit": "true"})
    await cluster.until(lambda: WRITE_WIDGETS in rules(cluster, "admin"))
    assert WRITE_WIDGETS not in rules(cluster, "view")
    cluster.delete("ClusterRole", "widgets")
    cluster.delete("ClusterRole", "widgets-edit")
    await cluster.until(lambda: {name: rules(cluster, name) for name in before} == before)
