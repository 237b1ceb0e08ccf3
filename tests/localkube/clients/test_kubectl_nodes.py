"""kubectl and nodes: cordon, drain within budgets, taint, and what they use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubectl_session import MINORS, Kubectl, cells, conforms
from kubectls import kubectl_program
from localkube_process import Served, running

pytestmark = pytest.mark.slow

APP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: pause}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 2, selector: {matchLabels: {app: web}}}
"""

ON_THE_THIRD = '{"spec":{"nodeSelector":{"kubernetes.io/hostname":"local-3"}}}'


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Served]:
    with running("--nodes", "3", "--metrics-window", "1") as server:
        yield server


@pytest.fixture
def fleet(three_nodes: Served, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kubectl]:
    """A kubectl with a namespace of its own on three nodes, all of them in service again afterwards."""
    place = f"n{request.param.replace('.', '-')}"
    kubectl = Kubectl(kubectl_program(request.param), three_nodes.kubeconfig, place, tmp_path)
    kubectl("create", "namespace", place)
    yield kubectl
    kubectl("delete", "namespace", place)
    kubectl("uncordon", "local", "local-2", "local-3")


oldest_and_newest = pytest.mark.parametrize("fleet", [MINORS[0], MINORS[-1]], indirect=True)
newest = pytest.mark.parametrize("fleet", MINORS[-1:], indirect=True)


@conforms(verb="cordon")
@conforms(verb="drain (by eviction, within budgets)")
@conforms(verb="uncordon")
@oldest_and_newest
def test_drain(fleet: Kubectl) -> None:
    assert fleet("cordon", "local-3") == "node/local-3 cordoned\n"
    assert fleet("cordon", "local-3") == "node/local-3 already cordoned\n"
    head, *rows = cells(fleet("get", "nodes"))
    assert head == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [row[:3] for row in rows] == [
        *(["local", "Ready", "control-plane"], ["local-2", "Ready", "<none>"]),
        ["local-3", "Ready,SchedulingDisabled", "<none>"],
    ]
    assert fleet("uncordon", "local-3") == "node/local-3 uncordoned\n"
    fleet("apply", "-f", "-", stdin=APP)
    fleet("rollout", "status", "deploy/web", "--timeout=90s")
    fleet.until("get", "pdb", "web", shows=r"^web +2 +N/A +0 ")
    node = fleet("get", "pods", "-o", "jsonpath={.items[0].spec.nodeName}")
    held = fleet.run("drain", node, "--timeout=6s")
    assert held.returncode == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget." in held.stderr
    assert "global timeout reached: 6s" in held.stderr
    fleet("scale", "deploy/web", "--replicas=3")
    fleet.until("get", "pdb", "web", shows=r"^web +2 +N/A +1 ")
    drained = fleet.run("drain", node, "--timeout=90s")
    assert drained.returncode == 0, drained.stderr
    assert drained.stdout.endswith(f"node/{node} drained\n")
    left = fleet("get", "pods", "-o", f"jsonpath={{.items[?(@.spec.nodeName=='{node}')].metadata.name}}")
    assert left == ""


@conforms(verb="drain --force, --disable-eviction")
@newest
def test_drain_of_a_bare_pod(fleet: Kubectl) -> None:
    fleet("run", "bare", "--image=pause", "--overrides", '{"spec":{"nodeName":"local-2"}}')
    fleet("wait", "--for=condition=Ready", "pod/bare", "--timeout=90s")
    refusal = fleet.refused("drain", "local-2")
    assert "cannot delete Pods that declare no controller (use --force to override)" in refusal
    done = fleet("drain", "local-2", "--force", "--disable-eviction", "--grace-period=0", "--timeout=90s")
    assert done.endswith("node/local-2 drained\n")
    assert 'pods "bare" not found' in fleet.refused("get", "pod", "bare")


@conforms(verb="taint")
@newest
def test_taint(fleet: Kubectl) -> None:
    assert fleet("taint", "node", "local-3", "a=b:NoSchedule") == "node/local-3 tainted\n"
    refusal = fleet.refused("taint", "node", "local-3", "a=c:NoSchedule")
    assert "already has a taint(s) with same effect(s) and --overwrite is false" in refusal
    assert fleet("taint", "node", "local-3", "a=c:NoSchedule", "--overwrite") == "node/local-3 modified\n"
    assert re.search(r"^Taints: +a=c:NoSchedule$", fleet("describe", "node", "local-3"), re.MULTILINE)
    fleet("run", "kept-out", "--image=pause", "--overrides", ON_THE_THIRD)
    told = fleet.until("describe", "pod", "kept-out", shows="FailedScheduling")
    assert "untolerated taint" in told
    assert fleet("taint", "node", "local-3", "a-") == "node/local-3 untainted\n"
    fleet("wait", "--for=condition=Ready", "pod/kept-out", "--timeout=90s")


@conforms(verb="get nodes -o wide")
@conforms(verb="describe node")
@newest
def test_what_a_node_is(fleet: Kubectl) -> None:
    head, row, *_ = cells(fleet("get", "nodes", "-o", "wide"))
    assert head[5:] == ["INTERNAL-IP", "EXTERNAL-IP", "OS-IMAGE", "KERNEL-VERSION", "CONTAINER-RUNTIME"]
    assert re.fullmatch(r"127\.\d+\.0\.1", row[5])
    assert row[6] == "<none>"
    told = fleet("describe", "node", "local")
    for section in (
        "Conditions:",
        "Addresses:",
        "Capacity:",
        "System Info:",
        "Non-terminated Pods:",
        "Events:",
    ):
        assert f"\n{section}" in told
    assert re.search(r"^  Ready +True .* KubeletReady +kubelet is posting ready status$", told, re.MULTILINE)


@conforms(verb="top pods")
@conforms(verb="top pods --containers")
@conforms(verb="top nodes")
@oldest_and_newest
def test_top(fleet: Kubectl) -> None:
    fleet("run", "busy", "--image=busybox", "--command", "--", "sh", "-c", "while true; do :; done")
    used = fleet.until("top", "pods", shows=r"^busy +[1-9]\d*m +\d+Mi")
    assert cells(used)[0] == ["NAME", "CPU(cores)", "MEMORY(bytes)"]
    head, row = cells(fleet("top", "pods", "--containers"))
    assert head == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert row[:2] == ["busy", "busy"]
    head, *rows = cells(fleet("top", "nodes"))
    assert head == ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"] or head == [
        *("NAME", "CPU(cores)", "CPU%", "MEMORY(bytes)", "MEMORY%"),
    ]
    assert [row[0] for row in rows] == ["local", "local-2", "local-3"]
