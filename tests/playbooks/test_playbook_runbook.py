"""The runbook as a playbook and as the on-call human, in a whole lab: one worker is restarted, no other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.core.places import data_root
from lab.engine.bringup import bring_up
from lab.engine.clients import wait_until
from lab.engine.lab import Lab
from lab.engine.settings import LabSettings
from lab.kube.objects import name_of
from lab.localkube.images.launch import StartError
from lab.localkube.images.prometheus import find_prometheus

PLAYBOOK = data_root() / "playbooks" / "restart-hung-worker.yaml"
ANSIBLE = Path(sys.executable).with_name("ansible-playbook")


def ansible(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    paths = {"HOME": str(folder), "ANSIBLE_HOME": str(folder), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        [str(ANSIBLE), "-i", "localhost,", str(PLAYBOOK), *arguments],
        env=kept | paths | {"ANSIBLE_PYTHON_INTERPRETER": sys.executable} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_playbook_is_well_formed(tmp_path: Path) -> None:
    done = ansible(tmp_path, "--syntax-check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("partition", ['3"} or vector(1)#'])
def test_what_is_no_partition_is_refused(tmp_path: Path, partition: str) -> None:
    done = ansible(tmp_path, "-e", f"partition='{partition}'", PROMETHEUS_URL="http://127.0.0.1:9")
    assert done.returncode != 0
    assert "Say which partition" in done.stdout


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    try:
        find_prometheus()
    except StartError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(tmp_path_factory.mktemp("home")))
        running = bring_up(LabSettings(name="runbook", toil="off"), throw_away=True)
        try:
            yield running
        finally:
            running.down()


def workers(lab: Lab) -> set[str]:
    return {name_of(pod) for pod in lab.kube.pods("shop", "worker")}


def human(lab: Lab, replicas: int) -> None:
    lab.kube.patch_deployment("lab-system", "oncall", {"spec": {"replicas": replicas}})
    assert wait_until(lambda: len(lab.kube.pods("lab-system", "oncall")) == replicas, seconds=20)


def hang(lab: Lab, **parameters: Any) -> tuple[str, str]:
    """Hang one worker; its partition and pod, once its page is open."""
    (entry,) = lab.faults.inject("hung-workers", parameters={"count": 1} | parameters)
    partition, pod = str(entry["target"]["partition"]), str(entry["target"]["name"])
    assert wait_until(lambda: page(lab, partition, "open"), seconds=40), "no page"
    return partition, pod


def page(lab: Lab, partition: str, status: str) -> dict[str, Any] | None:
    found = [i for i in lab.pager.incidents(status) if i["labels"].get("partition") == partition]
    return found[-1] if found else None


@pytest.mark.slow
def test_the_playbook_restarts_exactly_the_hung_worker(lab: Lab, tmp_path: Path) -> None:
    human(lab, 0)
    before = workers(lab)
    partition, pod = hang(lab, partition=3)
    environment = {"KUBECONFIG": str(lab.kubeconfig), "PROMETHEUS_URL": lab.prometheus_url}
    looked = ansible(tmp_path, "-e", f"partition={partition}", "--check", **environment)
    assert looked.returncode == 0, looked.stdout + looked.stderr
    assert workers(lab) == before
    done = ansible(tmp_path, "-e", f"partition={partition}", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert before - workers(lab) == {pod}
    assert wait_until(lambda: page(lab, partition, "resolved"), seconds=20)
    after = workers(lab)
    healthy = ansible(tmp_path, "-e", "partition=1", **environment)
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    assert workers(lab) == after


@pytest.mark.slow
def test_the_human_restarts_exactly_the_hung_worker(lab: Lab) -> None:
    human(lab, 1)
    before = workers(lab)
    partition, pod = hang(lab, partition=2)
    assert wait_until(lambda: page(lab, partition, "resolved"), seconds=60)

    def reported() -> bool:
        incident = page(lab, partition, "resolved")
        return incident is not None and bool(incident["actions"])

    assert wait_until(reported, seconds=20)
    incident = page(lab, partition, "resolved")
    assert incident is not None
    (action,) = incident["actions"]
    assert (action["by"], action["action"], action["outcome"]) == ("human:oncall", "restart", "success")
    assert action["target"] == {"kind": "Pod", "namespace": "shop", "name": pod}
    assert before - workers(lab) == {pod}


@pytest.mark.slow
def test_the_human_takes_an_incurable_hang_to_the_developers(lab: Lab) -> None:
    human(lab, 1)
    partition, _ = hang(lab, partition=4, recurring=True)

    def fixed() -> bool:
        incident = page(lab, partition, "all")
        return incident is not None and "deploy-fix" in [a["action"] for a in incident["actions"]]

    assert wait_until(fixed, seconds=120), lab.pager.history_text()
    incident = page(lab, partition, "all")
    assert incident is not None
    assert incident["escalatedAt"]
    assert [a["action"] for a in incident["actions"]] == ["restart", "escalate", "deploy-fix"]
    assert wait_until(lambda: page(lab, partition, "open") is None, seconds=30)
    assert lab.faults.active() == []
