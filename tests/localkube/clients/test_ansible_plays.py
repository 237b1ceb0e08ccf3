"""Ansible's kubernetes.core, run as the lab runs playbooks, each task judged by the runner's events."""

from __future__ import annotations

import os
import shlex
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from localkube_process import Served, running

from lab.automation.playbook import settings
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

PLAYS = Path(__file__).parent / "plays"
CLIENT = "Ansible kubernetes.core"
Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Served]:
    """A cluster of its own: these plays drain nodes."""
    with running("--nodes", "2") as server:
        yield server


@pytest.fixture
async def where(two_nodes: Served) -> str:
    """A fresh namespace there."""
    name = f"t-{uuid.uuid4().hex[:10]}"
    async with KubeClient(load_kubeconfig(two_nodes.kubeconfig)) as kube:
        await kube.create("namespaces", {"metadata": {"name": name}})
    return name


def played(served: Served, namespace: str, play: str, scratch: Path) -> Results:
    """Run a play; what each task gave, by the first part of its name. It must come out as the second says."""
    ansible_runner = pytest.importorskip("ansible_runner")
    python = shlex.quote(sys.executable)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = settings(scratch) | {"PATH": path, "KUBECONFIG": str(served.kubeconfig)}
    run = ansible_runner.run(
        private_data_dir=str(scratch),
        project_dir=str(PLAYS),
        playbook=play,
        inventory=f"localhost ansible_connection=local ansible_python_interpreter={python}\n",
        extravars={"ns": namespace, "scratch": str(scratch)},
        envvars=env,
        settings={"runner_mode": "subprocess", "suppress_env_files": True},
        quiet=True,
    )
    results: Results = {}
    for event in run.events:
        if event["event"] in ("runner_on_ok", "runner_on_failed"):
            name, _, outcome = event["event_data"]["task"].rpartition(": ")
            result = event["event_data"]["res"]
            failed = event["event"] == "runner_on_failed"
            seen = "fails" if failed else "changed" if result.get("changed") else "same"
            assert seen == outcome, f"{name}: {seen}, not {outcome}: {result}"
            results[name] = result
    with run.stdout as output:
        assert (run.status, run.rc) == ("successful", 0), output.read()
    return results


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="k8s: present, patched, merge_type, check mode, idempotency")
@pytest.mark.conforms(client=CLIENT, verb="k8s: apply, server_side_apply with conflicts, validate")
def test_objects(two_nodes: Served, where: str, tmp_path: Path) -> None:
    seen = played(two_nodes, where, "objects.yml", tmp_path)
    assert seen["patch in check mode, with its difference"]["diff"]["after"]["data"]["a"] == "3"
    assert seen["create again"]["result"]["data"] == {"a": "1", "b": "2"}
    assert seen["patch by the merge of JSON"]["result"]["data"] == {"a": "1"}
    assert seen["apply with less"]["result"]["data"] == {"a": "1"}
    conflict = seen["server-side apply by another"]
    assert (conflict["reason"], "FieldManagerConflict" in conflict["msg"]) == ("Conflict", True)
    assert "'eighty' is not of type 'integer'" in seen["validate what is wrong"]["msg"]


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="k8s: custom resources, wait, wait_condition, absent, delete_all")
@pytest.mark.conforms(client=CLIENT, verb="k8s_info, the lookup")
@pytest.mark.conforms(client=CLIENT, verb="k8s_json_patch")
@pytest.mark.conforms(client=CLIENT, verb="k8s_service")
def test_other_modules(two_nodes: Served, where: str, tmp_path: Path) -> None:
    seen = played(two_nodes, where, "others.yml", tmp_path)
    assert seen["change it, by the merge that a custom resource knows"]["result"]["teeth"] == 8
    assert seen["JSON patch"]["result"]["data"] == {"a": "9"}
    assert [each["metadata"]["name"] for each in seen["look by label and field"]["resources"]] == ["plain"]
    assert [each["metadata"]["name"] for each in seen["look up"]["msg"]] == ["plain"]
    left = [each["metadata"]["name"] for each in seen["see what is left"]["resources"]]
    assert left == ["kept", "kube-root-ca.crt"]


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="k8s: template, wait; k8s_scale; k8s_rollback")
@pytest.mark.conforms(client=CLIENT, verb="k8s_log")
@pytest.mark.conforms(client=CLIENT, verb="k8s_exec: output, return codes")
@pytest.mark.conforms(client=CLIENT, verb="k8s_cp: to and from a pod")
def test_pods(two_nodes: Served, where: str, tmp_path: Path) -> None:
    seen = played(two_nodes, where, "pods.yml", tmp_path)
    scaled = seen["scale"]["result"]
    assert (scaled["spec"]["replicas"], scaled["status"]["readyReplicas"]) == (2, 2)
    assert "echo one" in str(seen["roll back"]["rollback_info"])
    assert seen["log of a pod"]["log"] == "first\nsecond\n"
    assert seen["end of the log of a label's pod"]["log_lines"][0] == "second"
    assert seen["command"]["stdout_lines"] == ["out"]
    assert seen["command"]["stderr_lines"] == ["err"]
    assert seen["command that fails"]["rc"] == 3
    assert (tmp_path / "back").read_bytes() == (PLAYS / "templates" / "web.yml.j2").read_bytes()


@pytest.mark.slow
@pytest.mark.conforms(client=CLIENT, verb="k8s_taint")
@pytest.mark.conforms(client=CLIENT, verb="k8s_drain: cordon, drain, uncordon, selectors, budgets")
def test_nodes(two_nodes: Served, where: str, tmp_path: Path) -> None:
    seen = played(two_nodes, where, "nodes.yml", tmp_path)
    assert "cannot delete" in seen["drain, with a pod that nobody would start again"]["msg"]
    assert "violate the pod's disruption budget" in seen["drain against a budget"]["msg"]
    assert seen["drain"]["result"].endswith("1 Pod(s) deleted from node.")
    moved = seen["see where they are"]["resources"]
    assert [each["spec"]["nodeName"] for each in moved] == ["local"]
