"""Containers of one pod among each other: order of start and end, sidecars, hooks, gates, images."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from kubelet_bench import POD_IP, SERVER, Bench, python
from test_kubelet_probes import Fast, Heard, answer, nothing

from lab.kube.resources import builtin
from lab.localkube.images.reference import reference_problem
from lab.localkube.kubelet.checks import Target
from lab.localkube.kubelet.probes import run_probes

PAUSE = python("import signal; signal.pause()")
SHARED = {"volumeMounts": [{"name": "d", "mountPath": "/d"}]}
UNTIL_GO = ["sh", "-c", "until [ -e /d/go ]; do sleep 0.05; done"]


def shared(directory: Path) -> list[dict[str, Any]]:
    return [{"name": "d", "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"}}]


def condition(bench: Bench, name: str, kind: str) -> dict[str, Any]:
    conditions = (bench.get(name) or {}).get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), {})


async def test_a_container_waits_for_the_start_hook_of_the_one_before(bench: Bench, tmp_path: Path) -> None:
    first = {**PAUSE, **SHARED, "lifecycle": {"postStart": {"exec": {"command": UNTIL_GO}}}}
    bench.pod("pair", first, PAUSE, volumes=shared(tmp_path / "d"))
    await bench.until(lambda: ("Started", "Started container main") in bench.events("pair"), what="started")
    for name in ("main", "c1"):
        assert bench.status("pair", name)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert ("Created", "Created container: c1") not in bench.events("pair")
    (tmp_path / "d" / "go").touch()
    await bench.until_ready("pair")


async def test_a_sidecars_startup_probe_holds_what_comes_after(bench: Bench, tmp_path: Path) -> None:
    probe = {"exec": {"command": ["sh", "-c", "test -e /d/go"]}, "periodSeconds": 1, "failureThreshold": 60}
    sidecar = {"name": "side", "image": "toil-lab", "restartPolicy": "Always", **PAUSE, **SHARED}
    init = {"name": "init", "image": "busybox", "command": ["true"]}
    inits = [{**sidecar, "startupProbe": probe}, init]
    bench.pod("beside", PAUSE, initContainers=inits, volumes=shared(tmp_path / "d"))
    await bench.until(lambda: "running" in bench.status("beside", "side")["state"], what="the sidecar")
    assert bench.status("beside", "side")["started"] is False
    for name in ("init", "main"):
        assert bench.status("beside", name)["state"] == {"waiting": {"reason": "PodInitializing"}}
    initialized = condition(bench, "beside", "Initialized")
    assert initialized["reason"] == "ContainersNotInitialized"
    assert initialized["message"] == "containers with incomplete status: [side init]"
    (tmp_path / "d" / "go").touch()
    await bench.until_ready("beside")
    flags = {name: bench.status("beside", name) for name in ("side", "init", "main")}
    assert {name: (each["started"], each["ready"]) for name, each in flags.items()} == {
        "side": (True, True),
        "init": (False, True),
        "main": (True, True),
    }
    process = bench.kubelet._pod("default", "beside").containers["side"].process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    await bench.until(lambda: bench.status("beside", "side")["restartCount"] == 1, what="its restart")
    assert condition(bench, "beside", "Initialized")["status"] == "True"
    await bench.until_ready("beside")


NOTING = """
import os, signal, sys, time
name, wait = sys.argv[1:]
def stop(*_):
    while wait and wait not in open(path).read(): time.sleep(0.01)
    with open(path, 'a') as file: file.write(name + ' ')
    sys.exit(0)
path = os.environ['NOTES']
signal.signal(signal.SIGTERM, stop)
while True: signal.pause()
"""


async def test_sidecars_end_last_in_turn_and_their_hooks_run_at_once(bench: Bench, tmp_path: Path) -> None:
    """The main container ends only when a sidecar's preStop hook has run, and the sidecars after it."""
    notes = tmp_path / "notes"
    notes.touch()

    def noting(name: str, wait: str = "") -> dict[str, Any]:
        env = [{"name": "NOTES", "value": str(notes)}]
        return {"image": "toil-lab", "command": ["python", "-c", NOTING, name, wait], "env": env}

    hook = {"preStop": {"exec": {"command": ["sh", "-c", "printf 'hook ' >> $NOTES"]}}}
    inits = [
        {"name": "one", "restartPolicy": "Always", **noting("one"), "lifecycle": hook},
        {"name": "two", "restartPolicy": "Always", **noting("two")},
    ]
    bench.pod("turns", noting("main", "hook"), initContainers=inits, terminationGracePeriodSeconds=30)
    await bench.until_ready("turns")
    bench.delete("turns")
    await bench.until_gone("turns")
    assert notes.read_text().split() == ["hook", "main", "two", "one"]


async def test_a_hook_over_http_takes_any_answer_and_one_over_tcp_is_none(bench: Bench) -> None:
    get = {"httpGet": {"path": "/", "port": "web"}}
    serving = {**python(SERVER), "env": [POD_IP], "ports": [{"name": "web", "containerPort": 8080}]}
    bench.pod("late", {**PAUSE, "lifecycle": {"postStart": {"sleep": {"seconds": 0}}}})
    bench.pod("tcp", {**serving, "lifecycle": {"postStart": {"tcpSocket": {"port": 8080}}}})
    bench.pod("deaf", {**PAUSE, "ports": serving["ports"], "lifecycle": {"postStart": get}})
    probe = {"tcpSocket": {"port": "web"}}
    bench.pod("http", {**serving, "lifecycle": {"preStop": get}, "readinessProbe": probe})
    for name in ("tcp", "deaf"):
        await bench.until(
            lambda name=name: (
                {("FailedPostStartHook", "PostStartHook failed"), ("Killing", "FailedPostStartHook")}
                <= set(bench.events(name))
            ),
            what="the events",
        )
    await bench.until_ready("http")
    await answer(bench, "http", 500)
    for name in ("late", "http"):
        await bench.until_ready(name)
        bench.delete(name)
        await bench.until_gone(name)
        assert "FailedPreStopHook" not in dict(bench.events(name))


async def test_readiness_gates_are_looked_at_when_they_change(bench: Bench) -> None:
    gate = "example.com/traffic"
    bench.pod("gated", PAUSE, readinessGates=[{"conditionType": gate}])
    await bench.until(lambda: condition(bench, "gated", "ContainersReady").get("status") == "True")
    ready = condition(bench, "gated", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert ready["message"] == f'corresponding condition of pod readiness gate "{gate}" does not exist.'
    for status in ("True", "False"):
        change = {"status": {"conditions": [{"type": gate, "status": status}]}}
        patch = "application/strategic-merge-patch+json"
        bench.registry.patch(builtin("Pod"), "default", "gated", change, patch, subresource="status")
        await bench.until(lambda status=status: condition(bench, "gated", "Ready")["status"] == status)
    text = f'the status of pod readiness gate "{gate}" is not "True", but False'
    assert condition(bench, "gated", "Ready")["message"] == text


@pytest.mark.slow
async def test_a_pod_past_its_deadline_has_failed_when_its_containers_have_ended(bench: Bench) -> None:
    hook = {"preStop": {"exec": {"command": ["sleep", "0.3"]}}}
    bench.pod("late", {**PAUSE, "lifecycle": hook}, activeDeadlineSeconds=1, restartPolicy="Never")
    seen = set()

    def failed() -> bool:
        status = bench.get("late")["status"]
        ended = "terminated" in bench.status("late")["state"]
        seen.add((status.get("phase"), ended))
        return bool(status.get("phase") == "Failed")

    await bench.until(failed, what="its failure")
    assert ("Failed", False) not in seen
    assert bench.get("late")["status"]["reason"] == "DeadlineExceeded"


async def test_what_is_to_end_is_not_killed_for_its_liveness() -> None:
    clock, heard = Fast(), Heard()
    probe = {"tcpSocket": {"port": 1}, "periodSeconds": 10, "failureThreshold": 1}
    container = {"livenessProbe": probe, "readinessProbe": {**probe, "successThreshold": 1}}
    with contextlib.suppress(BaseException):
        await run_probes(Target("127.0.0.1", container, nothing), heard, clock, lambda: True)
    assert "Readiness" in heard.said
    assert not {"Liveness", "condemned by liveness"} & set(heard.said)


async def test_images_that_are_none_or_may_not_be_pulled(bench: Bench) -> None:
    bench.pod("odd", {"image": "Shop/API"}, {"image": "acme/x:1", "imagePullPolicy": "Never"})

    def reason(name: str) -> str:
        return str(bench.status("odd", name)["state"].get("waiting", {}).get("reason"))

    await bench.until(lambda: reason("main") == "InvalidImageName", what="the invalid name")
    await bench.until(lambda: reason("c1") == "ErrImageNeverPull", what="the image that is not there")
    invalid, never = (bench.status("odd", name)["state"]["waiting"] for name in ("main", "c1"))
    said = (
        'Failed to apply default image tag "Shop/API": couldn\'t parse image name "Shop/API": '
        "invalid reference format: repository name (API) must be lowercase"
    )
    assert invalid == {"reason": "InvalidImageName", "message": said}
    text = 'Container image "acme/x:1" is not present with pull policy of Never'
    assert never == {"reason": "ErrImageNeverPull", "message": text}
    told = {
        ("InspectFailed", said),
        ("Failed", "Error: InvalidImageName"),
        ("ErrImageNeverPull", text),
        ("Failed", "Error: ErrImageNeverPull"),
    }
    await bench.until(lambda: told <= set(bench.events("odd")), what="the events")


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        *(
            (image, "")
            for image in ("busybox", "a/b:1", "localhost:5000/x", "ghcr.io/a/b@sha256:" + "a" * 64)
        ),
        ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
        *(
            (image, "invalid reference format")
            for image in ("a b", "a:", "a//b", "a:b:c", "-a", "a@sha256:1")
        ),
    ],
)
def test_image_names(image: str, problem: str) -> None:
    assert reference_problem(image) == problem
