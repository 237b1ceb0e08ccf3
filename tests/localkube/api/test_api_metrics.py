"""metrics.k8s.io: what `kubectl top` and autoscalers read."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kubectls import kubectl_program
from localkube_process import Served

from lab.kube.client import KubeClient
from lab.kube.resources import builtin
from lab.kube.status import StatusError

PODS = builtin("pods", "metrics.k8s.io")
NODES = builtin("nodes", "metrics.k8s.io")
BUSY = """
apiVersion: v1
kind: Pod
metadata: {name: busy, labels: {app: busy}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: works, image: busybox, command: [sh, -c, "while true; do :; done"]}
  - {name: rests, image: busybox, command: [sleep, "1000"]}
"""


async def test_nothing_is_measured_where_nothing_runs(kube: KubeClient, namespace: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "pause"}]}}
    await kube.create("pods", pod, namespace)
    assert (await kube.list(PODS, namespace))["items"] == []
    assert (await kube.list(NODES))["items"] == []
    for name, plural in (("p", "podmetrics.metrics.k8s.io"), ("none", "pods")):
        with pytest.raises(StatusError) as refused:
            await kube.get(PODS, name, namespace)
        assert (refused.value.code, refused.value.message.split(" ")[0]) == (404, plural)
    with pytest.raises(StatusError) as refused:
        await kube.list(PODS, namespace, label_selector="a in")
    assert refused.value.code == 400


async def test_metrics_cannot_be_written_or_watched(kubectl_of: Callable[..., Any]) -> None:
    kubectl = kubectl_of()
    found = json.loads(kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1"))
    verbs = {each["name"]: (each["kind"], each["namespaced"], each["verbs"]) for each in found["resources"]}
    assert verbs == {
        "nodes": ("NodeMetrics", False, ["get", "list"]),
        "pods": ("PodMetrics", True, ["get", "list"]),
    }
    watch = kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/pods?watch=1", fails=True)
    assert "MethodNotAllowed" in watch
    assert "the server does not allow this method" in kubectl("delete", "podmetrics", "p", fails=True)
    assert "window" in kubectl("explain", "podmetrics")


@pytest.mark.slow
def test_top_shows_pods_containers_and_nodes(whole: Served, tmp_path: Path) -> None:
    def kubectl(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [str(kubectl_program()), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            env={"KUBECONFIG": str(whole.kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        )
        return done.stdout

    kubectl("apply", "-f", "-", stdin=BUSY)
    try:
        deadline, cores = time.monotonic() + 30, {"works": 0, "rests": 0}
        while not cores["works"] > cores["rests"]:
            assert time.monotonic() < deadline, cores
            table = kubectl("top", "pods", "--containers", "-l", "app=busy", "--no-headers").splitlines()
            cores |= {line.split()[1]: int(line.split()[2].removesuffix("m")) for line in table}
        assert kubectl("top", "pods", "-l", "app=other", "--no-headers") == ""
        assert kubectl("top", "pods", "busy", "--no-headers").split()[0] == "busy"
        assert kubectl("top", "nodes", "--no-headers").split()[0] == "local"
        shown = kubectl("get", "podmetrics", "busy").split()
        assert shown[:5] == ["NAME", "CPU", "MEMORY", "WINDOW", "busy"]
        one = json.loads(kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/busy"))
        assert one["metadata"]["labels"] == {"app": "busy"}
        assert [each["name"] for each in one["containers"]] == ["works", "rests"]
        assert one["containers"][0]["usage"]["memory"].endswith("Ki")
    finally:
        kubectl("delete", "pod", "busy", "--now")
