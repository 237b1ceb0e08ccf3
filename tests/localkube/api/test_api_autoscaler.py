"""HorizontalPodAutoscalers with the kubectl that people use."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kubectls import Kubectl, kubectl_program
from localkube_process import running

BUSY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: works
        image: busybox
        command: [sh, -c, "while true; do :; done"]
        resources: {requests: {cpu: 1m}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("minor", ["1.31", "1.32", "1.33"])
def test_autoscale_in_either_version_and_encoding(kubectl_of: Callable[..., Kubectl], minor: str) -> None:
    """1.31 writes v1 in JSON, 1.32 v1 in protobuf, 1.33 v2."""
    kubectl = kubectl_of(minor)
    kubectl("create", "deployment", "web", "--image=pause", "--replicas=0")
    kubectl("autoscale", "deployment", "web", "--min=2", "--max=5", "--cpu-percent=40")
    _, row = kubectl("get", "hpa").splitlines()
    assert row.split()[:6] == ["web", "Deployment/web", "cpu:", "<unknown>/40%", "2", "5"]
    for version, field in (("v1", "targetCPUUtilizationPercentage"), ("v2", "metrics")):
        shown = kubectl("get", f"horizontalpodautoscalers.{version}.autoscaling", "web", "-o", "json")
        found = json.loads(shown)
        assert (found["apiVersion"], field in found["spec"]) == (f"autoscaling/{version}", True)
    described = kubectl("describe", "hpa", "web")
    assert "resource cpu on pods  (as a percentage of request):  <unknown> / 40%" in described
    kubectl("patch", "hpa", "web", "-p", '{"spec":{"maxReplicas":9}}')
    assert kubectl("get", "hpa", "web", "-o", "jsonpath={.spec.maxReplicas}") == "9"


@pytest.mark.slow
def test_a_busy_deployment_grows_to_its_maximum(tmp_path: Path) -> None:
    with running("--autoscaler-sync", "1", "--metrics-window", "2") as server:

        def kubectl(*arguments: str, stdin: str = "") -> str:
            done = subprocess.run(
                [str(kubectl_program()), *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=30,
                env={
                    "KUBECONFIG": str(server.kubeconfig),
                    "HOME": str(tmp_path),
                    "PATH": os.environ["PATH"],
                },
            )
            assert done.returncode == 0, (arguments, done.stderr)
            return done.stdout

        kubectl("apply", "-f", "-", stdin=BUSY)
        kubectl("autoscale", "deployment", "busy", "--max=3", "--cpu-percent=100")
        deadline = time.monotonic() + 60
        while kubectl("get", "deployment", "busy", "-o", "jsonpath={.spec.replicas}") != "3":
            assert time.monotonic() < deadline, kubectl("describe", "hpa", "busy")
        described = kubectl("describe", "hpa", "busy")
        assert (
            "New size: 3; reason: cpu resource utilization (percentage of request) above target" in described
        )
        assert "ValidMetricFound" in described
