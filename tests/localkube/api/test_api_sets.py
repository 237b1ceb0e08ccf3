"""StatefulSets, DaemonSets and claims with a real kubectl and real pods."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kubectls import kubectl_program
from localkube_process import Served

MANIFESTS = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: busybox
        command: [sh, -c, 'echo "$VERSION $HOSTNAME $LAST" >> /data/log; exec sleep 1000']
        env:
        - {name: VERSION, value: one}
        - {name: LAST, value: db-1.db.sets.svc}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: pause}]
"""
PARTS = "jsonpath={.items[*].metadata.name}"


@pytest.fixture
def kubectl(whole: Served, tmp_path: Path) -> Callable[..., str]:
    environment = {"KUBECONFIG": str(whole.kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    binary = str(kubectl_program())

    def run(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [binary, "-n", "sets", *arguments],
            input=stdin.encode(),
            capture_output=True,
            timeout=90,
            env=environment,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout.decode()

    return run


def log_of(kubectl: Callable[..., str], ordinal: int) -> list[str]:
    """What the pods of an ordinal have written to their claim."""
    claim = json.loads(kubectl("get", "pvc", f"data-db-{ordinal}", "-o", "json"))
    volume = json.loads(kubectl("get", "pv", claim["spec"]["volumeName"], "-o", "json"))
    return (Path(volume["spec"]["hostPath"]["path"]) / "log").read_text().splitlines()


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # noqa: TID251 - outside of any loop


@pytest.mark.slow
def test_people_roll_sets_forth_and_back(kubectl: Callable[..., str]) -> None:
    kubectl("create", "namespace", "sets")
    kubectl("apply", "-f", "-", stdin=MANIFESTS)
    assert "complete" in kubectl("rollout", "status", "sts/db", "--timeout=60s")
    assert "successfully rolled out" in kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    assert kubectl("get", "sts", "db").splitlines()[0].split() == ["NAME", "READY", "AGE"]
    assert kubectl("get", "pods", "-l", "app=db", "-o", PARTS) == "db-0 db-1"
    claims = [line.split()[:2] for line in kubectl("get", "pvc").splitlines()[1:]]
    assert claims == [["data-db-0", "Bound"], ["data-db-1", "Bound"]]
    last = kubectl("get", "pod", "db-1", "-o", "jsonpath={.status.podIP}")
    until(lambda: len(log_of(kubectl, 0)) == 1)
    assert log_of(kubectl, 0) == [f"one db-0 {last}"], "it was known before that pod was there"

    kubectl("set", "env", "sts/db", "VERSION=two")
    kubectl("rollout", "status", "sts/db", "--timeout=60s")
    assert kubectl("rollout", "history", "sts/db").split()[-4:] == ["1", "<none>", "2", "<none>"]
    assert "VERSION:\tone" in kubectl("rollout", "history", "sts/db", "--revision=1")
    kubectl("rollout", "undo", "sts/db")
    kubectl("rollout", "status", "sts/db", "--timeout=60s")
    until(lambda: len(log_of(kubectl, 1)) == 3)
    assert log_of(kubectl, 1) == [f"{version} db-1 {last}" for version in ("one", "two", "one")]
    assert kubectl("get", "pod", "db-1", "-o", "jsonpath={.status.podIP}") == last

    before = kubectl("get", "pods", "-l", "app=agent", "-o", PARTS)
    kubectl("rollout", "restart", "ds/agent")
    kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    until(lambda: kubectl("get", "pods", "-l", "app=agent", "-o", PARTS) not in (before, ""))
    kubectl("rollout", "undo", "ds/agent", "--to-revision=1")
    kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    kubectl("scale", "sts/db", "--replicas=1")
    kubectl("rollout", "status", "sts/db", "--timeout=60s")
    assert kubectl("get", "pvc", "-o", PARTS) == "data-db-0 data-db-1"
    assert "SuccessfulCreate" in kubectl("describe", "sts", "db")
    assert "Number of Nodes Misscheduled: 0" in kubectl("describe", "ds", "agent")
    kubectl("delete", "namespace", "sets", "--timeout=60s")
    assert "No resources found" in kubectl("get", "pv") or kubectl("get", "pv") == ""
