"""Ephemeral containers: what may be added to a running pod, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from kubelet_bench import Bench, python

from lab.kube.resources import builtin
from lab.kube.status import StatusError

PAUSE = python("import signal; signal.pause()")
PATCH = "application/strategic-merge-patch+json"


def add(bench: Bench, pod: str, **container: Any) -> Any:
    """What `kubectl debug` sends."""
    body = {"spec": {"ephemeralContainers": [{"image": "busybox", **container}]}}
    return bench.registry.patch(
        builtin("Pod"), "default", pod, body, PATCH, subresource="ephemeralcontainers"
    )


def status(bench: Bench, pod: str, name: str) -> dict[str, Any]:
    statuses = bench.get(pod)["status"].get("ephemeralContainerStatuses") or ()
    return next((each for each in statuses if each["name"] == name), {"state": {}})


async def test_it_runs_once_beside_the_others_and_ends_with_the_pod(bench: Bench) -> None:
    bench.pod("web", {**PAUSE, "volumeMounts": [{"name": "d", "mountPath": "/d"}]}, volumes=[{"name": "d"}])
    await bench.until_ready("web")
    mount = [{"name": "d", "mountPath": "/d"}]
    add(bench, "web", name="look", command=["sh", "-c", "ls -d /d; exit 4"], volumeMounts=mount)
    await bench.until(lambda: status(bench, "web", "look")["state"].get("terminated"), what="its end")
    ended = status(bench, "web", "look")
    assert (ended["state"]["terminated"]["exitCode"], ended["restartCount"]) == (4, 0)
    assert (await bench.log("web", "look")).endswith("/volumes/d\n")
    add(bench, "web", name="stay", command=["sleep", "3600"])
    await bench.until(lambda: "running" in status(bench, "web", "stay")["state"], what="it runs")
    assert await bench.exec("web", "echo", "in it", container="stay") == (0, "in it\n")
    assert bench.phase("web") == "Running"
    bench.delete("web")
    await bench.until_gone("web")


async def test_it_is_only_ever_added(bench: Bench) -> None:
    bench.pod("web", PAUSE)
    add(bench, "web", name="look", command=["true"])
    pods = builtin("Pod")
    before = bench.get("web")["spec"]["ephemeralContainers"]
    assert before[0]["imagePullPolicy"] == "Always"
    path = "spec.ephemeralContainers"
    for container, said in (
        ({"name": "look", "image": "alpine"}, 'existing ephemeral containers "look" may not be changed'),
        ({"name": "main"}, f'{path}[0].name: Duplicate value: "main"'),
        ({"name": "x", "targetContainerName": "no"}, f'{path}[0].targetContainerName: Not found: "no"'),
        ({"name": "x", "ports": [{"containerPort": 1}]}, f"{path}[0].ports: Forbidden: cannot be set for an"),
    ):
        with pytest.raises(StatusError) as refused:
            add(bench, "web", **container)
        assert refused.value.code == 422
        assert said in refused.value.message
    present = bench.get("web")
    none = {**present, "spec": {**present["spec"], "ephemeralContainers": []}}
    with pytest.raises(StatusError, match='existing ephemeral containers "look" may not be removed'):
        bench.registry.update(pods, "default", "web", none, subresource="ephemeralcontainers")
    other = {**present, "spec": {**present["spec"], "nodeName": "elsewhere", "hostname": "x"}}
    kept = bench.registry.update(pods, "default", "web", other, subresource="ephemeralcontainers")
    assert kept["spec"] == present["spec"]
    with pytest.raises(StatusError, match=r"spec\.ephemeralContainers: Forbidden: cannot be set on create"):
        bench.pod("new", PAUSE, ephemeralContainers=[{"name": "x", "image": "busybox"}])
