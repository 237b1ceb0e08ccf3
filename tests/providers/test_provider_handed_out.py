"""A lab in namespaces that an administrator made: what it asks for, refuses, and takes away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_contents import everything
from handed_out import TENANT, kubectl, settled, tenant
from localkube_process import Served

from lab.core.namespaces import Namespaces
from lab.core.places import data_root
from lab.engine.administrator import for_administrator, subject_of
from lab.engine.boundaries import bounded
from lab.engine.bringup import load_manifests
from lab.engine.kept import without_kept
from lab.engine.kube import Kube
from lab.errors import ProviderError, UsageError
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig
from lab.kube.objects import name_of, namespace_of
from lab.kube.status import StatusError
from lab.providers.base import LAB_LABEL
from lab.providers.kubeconfig import KubeconfigProvider

LAB = "guest"
ALL = Namespaces(LAB).all


@pytest.fixture(scope="module")
def given(host: Served, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The kubeconfig of somebody who has no right of the cluster."""
    return str(tenant(host, tmp_path_factory.mktemp("tenant")))


@pytest.fixture
def handed(host: Served) -> Iterator[None]:
    """What an administrator has made for the lab, and takes away afterwards."""
    objects = for_administrator(LAB, subject_of(TENANT))
    asyncio.run(create(host, objects))
    yield
    asyncio.run(take_back(host, objects))


async def create(host: Served, objects: list[Any]) -> None:
    async with KubeClient(load_kubeconfig(host.kubeconfig)) as kube:
        for each in objects:
            await kube.create(each["kind"], each, namespace_of(each))


async def take_back(host: Served, objects: list[Any]) -> None:
    """Whatever is left of them, and the namespaces with all that is in them."""
    async with KubeClient(load_kubeconfig(host.kubeconfig)) as kube:
        for each in objects:
            try:
                await kube.delete(each["kind"], name_of(each), namespace_of(each))
            except StatusError as error:
                if error.code not in (404, 409):
                    raise
        async with asyncio.timeout(60):
            while {name_of(each) for each in (await kube.list("namespaces"))["items"]} & set(ALL):
                await asyncio.sleep(0.05)


@pytest.mark.usefixtures("handed")
def test_a_tenant_comes_and_goes_and_what_is_kept_stays(host: Served, given: str, directory: Path) -> None:
    provider = KubeconfigProvider(given)
    cluster = provider.create(directory)
    assert {f"Namespace/{name}" for name in ALL} <= set(cluster.kept)
    assert provider.belongings(directory) == []
    theirs = [thing("ConfigMap"), thing("Secret", another=LAB), thing("Secret", "another")]
    asyncio.run(create(host, theirs))
    before = settled(host)
    kinds = ("ConfigMap", "ResourceQuota", "ServiceAccount")
    asyncio.run(create(host, [*(thing(kind, LAB) for kind in kinds), neighbour()]))
    assert provider.belongings(directory) == [
        "configmaps of guest-shop: of-guest",
        "resourcequotas of guest-shop: of-guest",
        "serviceaccounts of guest-shop: of-guest",
        "pods of guest-shop: neighbour",
    ]
    (second := directory.with_name("elsewhere") / LAB).mkdir(parents=True)
    with pytest.raises(UsageError, match="a lab 'guest' is in its namespaces already: configmaps") as refused:
        KubeconfigProvider(given).create(second)
    assert "lab down --name guest" in refused.value.hint
    found = KubeconfigProvider().find(directory)
    assert found is not None
    assert found.kept == cluster.kept
    KubeconfigProvider().delete(directory)
    assert everything(host.kubeconfig) == before
    assert list(directory.iterdir()) == []


def thing(kind: str, lab: str = "", **labels: str) -> dict[str, Any]:
    """An empty object of that kind in the shop; lab: whose label it carries."""
    named = {"name": f"of-{lab or 'nobody'}", "namespace": "guest-shop"}
    carried = labels | ({LAB_LABEL: lab} if lab else {})
    return {"apiVersion": "v1", "kind": kind, "metadata": named | {"labels": carried}}


def neighbour() -> dict[str, Any]:
    """A pod as the injector makes it beside the shop's."""
    secure = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "neighbour", "namespace": "guest-shop", "labels": {"toil-lab/fault": "f-1"}},
        "spec": {"containers": [{"name": "one", "image": "toil-lab", "securityContext": secure}]},
    }


@pytest.mark.slow
@pytest.mark.usefixtures("handed")
def test_every_right_that_is_lacking_is_named_at_once(host: Served, given: str, directory: Path) -> None:
    before = settled(host)
    role = json.loads(kubectl(host, "get", "clusterrole", "guest-toil-lab-tenant", "-o", "json"))
    role["rules"] = [rule for rule in role["rules"] if "configmaps" not in rule["resources"]]
    kubectl(host, "replace", "-f", "-", given=json.dumps(role))
    kubectl(host, "delete", "clusterrole", "guest-toil-lab-faults")
    kubectl(host, "delete", "clusterrolebinding", "guest-toil-lab-look")
    with pytest.raises(ProviderError) as refused:
        KubeconfigProvider(given).create(directory)
    said = str(refused.value).splitlines()
    verbs = "get, list, watch, create, update, patch, delete"
    assert f"  - {verbs} secrets in {', '.join(ALL)}" in said
    assert "  - get clusterroles.rbac.authorization.k8s.io guest-toil-lab-gateway" in said
    assert not [line for line in said if "pods" in line or " namespaces" in line]
    assert "lab manifests namespaces" in refused.value.hint
    assert everything(host.kubeconfig) < before


@pytest.mark.usefixtures("handed")
def test_what_is_absent_has_to_be_made_and_that_needs_rights(
    host: Served, given: str, directory: Path
) -> None:
    kubectl(host, "delete", "clusterrole", "guest-toil-lab-faults")
    with pytest.raises(ProviderError) as refused:
        KubeconfigProvider(given).create(directory)
    group = "clusterroles.rbac.authorization.k8s.io"
    assert str(refused.value).splitlines()[1:] == [
        f"  - create {group}",
        f"  - delete, bind, escalate {group} guest-toil-lab-faults",
    ]
    cluster = KubeconfigProvider(str(host.kubeconfig)).create(directory)  # who may make it, does
    assert "ClusterRole/guest-toil-lab-faults" not in cluster.kept
    assert "ClusterRole/guest-toil-lab-gateway" in cluster.kept


@pytest.mark.usefixtures("handed")
def test_namespaces_that_are_not_all_there_or_not_meant_for_the_lab(
    host: Served, given: str, directory: Path
) -> None:
    kubectl(host, "label", "namespace", "guest-shop", "toil-lab/kept-")
    with pytest.raises(UsageError, match="namespace 'guest-shop' already, of the lab 'guest'") as refused:
        KubeconfigProvider(given).create(directory)
    assert "toil-lab/lab=guest and toil-lab/kept=true" in refused.value.hint
    kubectl(host, "delete", "namespace", "guest-shop")
    with pytest.raises(ProviderError, match="guest-shop is not there, or may not be looked at") as missing:
        KubeconfigProvider(given).create(directory)
    assert "lab manifests namespaces" in missing.value.hint
    assert not (directory / "provider.json").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("handed")
def test_what_is_kept_must_be_as_this_version_makes_it(host: Served, given: str, directory: Path) -> None:
    cluster = KubeconfigProvider(given).create(directory)
    kube = Kube(cluster.kubeconfig, cluster.namespaces)
    try:
        made = without_kept(wanted(), kube, cluster)
        assert {m["kind"] for m in made}.isdisjoint({"Namespace", "ClusterRole", "ClusterRoleBinding"})
        change = [{"op": "replace", "path": "/spec/failurePolicy", "value": "Ignore"}]
        wall = ("validatingadmissionpolicy", "guest-toil-lab-shadow-wall")
        kubectl(host, "patch", *wall, "--type", "json", "--patch", json.dumps(change))
        kubectl(host, "label", "namespace", "guest-shop", "pod-security.kubernetes.io/enforce-")
        with pytest.raises(ProviderError) as refused:
            without_kept(wanted(), kube, cluster)
    finally:
        kube.close()
    assert str(refused.value).splitlines()[1:] == [
        "  - Namespace guest-shop: metadata.labels.pod-security.kubernetes.io/enforce",
        "  - ValidatingAdmissionPolicy guest-toil-lab-shadow-wall: spec.failurePolicy",
    ]
    assert "applies once more" in refused.value.hint


def wanted() -> list[dict[str, Any]]:
    folder = data_root() / "clusters"
    return list(bounded(load_manifests(folder / "base"), load_manifests(folder / "boundaries")))
