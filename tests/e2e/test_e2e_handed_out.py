"""A whole lab of somebody who may make no namespace: in those that an administrator made, which stay."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_contents import everything
from e2e_bench import Bench, until
from handed_out import TENANT, kubectl, settled, tenant
from localkube_process import Served, running

pytestmark = pytest.mark.slow
ALL = ("team-m-shop", "team-m-lab-system", "team-m-automation")


@pytest.fixture(scope="module")
def host() -> Iterator[Served]:
    """Somebody's cluster, in which pods run."""
    with running() as server:
        yield server


def labels(host: Served) -> str:
    return kubectl(host, "get", "namespaces", "-L", "toil-lab/lab,toil-lab/kept", *ALL, "-o", "name")


def test_a_tenant_has_a_whole_lab_and_leaves_the_namespaces(
    host: Served, bench: Bench, tmp_path: Path
) -> None:
    given = str(tenant(host, tmp_path))
    printed = bench.lab("manifests", "namespaces", "--name", "team-m", "--subject", TENANT)
    assert printed.code == 0, printed.err
    kubectl(host, "apply", "-f", "-", given=printed.out)
    kubectl(host, "create", "configmap", "theirs", "--namespace", "team-m-shop")
    before, labelled = settled(host), labels(host)
    refused = subprocess.run(
        ["kubectl", "--kubeconfig", given, "auth", "can-i", "create", "namespaces"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.stdout.strip() == "no"

    at = ("--provider", "kubeconfig", "--kubeconfig", given)
    up = bench.lab("up", "--name", "team-m", "--toil", "off", "--starts", "cheap", *at)
    assert up.code == 0, up.err
    made = everything(host.kubeconfig) - before
    assert made
    assert all(found.split()[1].partition("/")[0] in ALL for found in made), made
    broken = bench.lab("break", "hung-workers", "--name", "team-m")
    assert broken.code == 0, broken.err
    candidate = bench.candidate("idle", "import time\ntime.sleep(1000)\n")
    ran = bench.lab("run", "--name", "team-m", candidate)
    assert ran.code == 0, ran.err

    down = bench.lab("down", "--name", "team-m")
    assert down.code == 0, down.err
    assert "deployments of team-m-shop: api," in down.err
    assert "left standing, as an administrator made it: Namespace/team-m-shop" in down.err
    assert "theirs" not in down.err
    assert bench.left() == []
    until(lambda: everything(host.kubeconfig) == before)
    assert labels(host) == labelled
