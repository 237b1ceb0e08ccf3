"""Every manifest sent to a real API server as a dry run: `make manifests KUBECONFIG=… [CONTEXT=name]`.

Without a cluster that is given, the server is a localkube of its own.
"""

from __future__ import annotations

import copy
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import any_cluster
import pytest
from dry_run import DryRun
from manifest_files import Manifest, documented, made, stored

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection, load_kubeconfig
from lab.providers.contexts import read_context, refuse_production

OF_ADMINISTRATORS = ("FlowSchema", "PriorityLevelConfiguration")
"""Kinds of documented objects that the lab itself never makes, and no client of its own knows."""


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """To the cluster that is given, else to a localkube."""
    given = os.environ.get("MANIFESTS_KUBECONFIG")
    if given:
        context = read_context(Path(given), os.environ.get("MANIFESTS_CONTEXT", ""))
        refuse_production(context, os.environ.get("MANIFESTS_CONTEXT_AGAIN", ""))
        yield load_kubeconfig(Path(given), context.name)
        return
    with any_cluster.localkube(tmp_path_factory.mktemp("manifests"), "--api-only") as kubeconfig:
        yield load_kubeconfig(kubeconfig)


@pytest.fixture
async def kube(connection: Connection) -> AsyncIterator[KubeClient]:
    async with KubeClient(connection) as client:
        yield client


async def test_the_server_takes_every_manifest_and_keeps_none(kube: KubeClient) -> None:
    manifests = [m for m in (*stored(), *made(), *documented()) if m.kind not in OF_ADMINISTRATORS]
    run = DryRun(kube, manifests)
    async with run.namespaces():
        assert await _namespaces(kube) >= set(run.names.values())
        assert await run.problems(manifests) == []
        assert await run.kept() == []
    assert (await _namespaces(kube)).isdisjoint(run.names.values())


async def test_what_the_server_refuses_is_named_by_file_object_and_field(kube: KubeClient) -> None:
    deployment = next(m for m in stored() if (m.kind, m.name) == ("Deployment", "worker"))
    account = next(m for m in stored() if (m.kind, m.name) == ("ServiceAccount", "worker"))
    unknown, invalid = copy.deepcopy(deployment.obj), copy.deepcopy(deployment.obj)
    unknown["spec"]["replica"] = 8
    invalid["spec"]["template"]["metadata"]["labels"] = {"app": "another"}
    wrong = [account, Manifest(deployment.file, unknown), Manifest(deployment.file, invalid)]
    run = DryRun(kube, wrong)
    async with run.namespaces():
        said = await run.problems(wrong)
    assert all(line.startswith("clusters/base/shop/worker.yaml: Deployment worker: ") for line in said)
    assert 'unknown field "spec.replica"' in said[0]
    assert "spec.template.metadata.labels" in said[1]


async def _namespaces(kube: KubeClient) -> set[str]:
    return {item["metadata"]["name"] for item in (await kube.list("namespaces"))["items"]}


@pytest.mark.skipif(not os.environ.get("MANIFESTS_KUBECONFIG"), reason="localkube has no Pod Security")
async def test_a_pod_that_wants_more_than_restricted_is_refused(kube: KubeClient) -> None:
    deployment = next(m for m in stored() if (m.kind, m.name) == ("Deployment", "worker"))
    account = next(m for m in stored() if (m.kind, m.name) == ("ServiceAccount", "worker"))
    greedy = copy.deepcopy(deployment.obj)
    greedy["spec"]["template"]["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    wrong = [account, Manifest(deployment.file, greedy)]
    run = DryRun(kube, wrong)
    async with run.namespaces():
        said = await run.problems(wrong)
    assert [line for line in said if "Pod worker" in line and 'violates PodSecurity "restricted' in line]
