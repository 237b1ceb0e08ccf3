"""What an administrator applies for a lab: all that the lab needs and may not make, and not more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import pytest

from lab.core.namespaces import Namespaces, prefix_for
from lab.core.places import data_root
from lab.engine.administrator import for_administrator, subject_of
from lab.engine.bringup import load_manifests
from lab.errors import UsageError
from lab.kube.objects import labels_of, name_of, namespace_of
from lab.providers.access import Right, summed
from lab.providers.base import KEPT_LABEL, LAB_LABEL
from lab.providers.handed_out import OF_CLUSTER, tenant_rights

CLUSTERS = data_root() / "clusters"
NAMESPACES = Namespaces(prefix_for("Team_A"))


@pytest.fixture(scope="module")
def manifests() -> list[Any]:
    """All that a lab makes in a cluster that it shares."""
    parts = sorted((CLUSTERS / "parts").glob("*.yaml"))
    return load_manifests(CLUSTERS / "base", *parts) + load_manifests(CLUSTERS / "boundaries")


@pytest.fixture(scope="module")
def handed() -> list[Any]:
    """What an administrator applies."""
    return for_administrator("Team_A", subject_of("user:mia"))


def singly(rule: Mapping[str, Any]) -> Iterator[Right]:
    for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"]):
        yield Right(verb, resource, group)


def test_a_tenant_holds_what_the_labs_roles_give_to_its_parts(manifests: list[Any]) -> None:
    """A cluster lets nobody grant what they do not hold."""
    given = {right for m in manifests if m["kind"] == "Role" for rule in m["rules"] for right in singly(rule)}
    assert given - set(tenant_rights()) == set()
    assert not [right for right in tenant_rights() if "*" in (right.verb, right.resource, right.group)]


def test_all_that_lies_in_no_namespace_is_among_it(manifests: list[Any], handed: list[Any]) -> None:
    found = {(m["kind"], name_of(m)) for m in manifests if not namespace_of(m)}
    assert {(kind, name) for kind, name in found if kind != "Namespace"} == set(OF_CLUSTER)
    there = {(m["kind"], name_of(m)) for m in handed}
    assert {(kind, NAMESPACES.of_cluster(name)) for kind, name in OF_CLUSTER} <= there
    assert {("Namespace", name) for name in NAMESPACES.all} <= there


def test_everything_says_whose_it_is_that_it_stays_and_who_is_bound(handed: list[Any]) -> None:
    bindings = [m for m in handed if m.get("subjects") == [subject_of("user:mia")]]
    assert sorted(namespace_of(m) for m in bindings) == ["", *sorted(NAMESPACES.all)]
    for each in handed:
        assert labels_of(each)[LAB_LABEL] == "Team_A"
        assert labels_of(each)[KEPT_LABEL] == "true"


@pytest.mark.parametrize(
    ("said", "subject"),
    [
        ("user:mia@example.com", ("User", "mia@example.com", "")),
        ("group:oidc:sre", ("Group", "oidc:sre", "")),
        ("serviceaccount:ci:lab", ("ServiceAccount", "lab", "ci")),
    ],
)
def test_who_brings_it_up_is_said_as_rbac_says_it(said: str, subject: tuple[str, str, str]) -> None:
    found = subject_of(said)
    assert (found["kind"], found["name"], found.get("namespace", "")) == subject


@pytest.mark.parametrize("said", ["", "mia", "user:", "role:admin", "serviceaccount:lab"])
def test_a_subject_that_names_nobody_is_refused(said: str) -> None:
    with pytest.raises(UsageError, match="names nobody") as refused:
        subject_of(said)
    assert "user:NAME" in refused.value.hint


def test_rights_are_told_by_resource() -> None:
    asked = [Right(verb, "pods/log", "", name) for name in ("a", "b") for verb in ("get", "list")]
    asked += [Right("create", "roles", "rbac.authorization.k8s.io", "a"), Right("get", "nodes")]
    assert summed(asked) == [
        "get, list pods/log in a, b",
        "create roles.rbac.authorization.k8s.io in a",
        "get nodes",
    ]
