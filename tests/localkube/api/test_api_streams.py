"""Reaching into running pods with the clients that people use: logs, commands, ports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubectls import kubectl_program
from localkube_process import Served

from lab.kube.client import KubeClient
from lab.kube.kubeconfig import load_kubeconfig

LINES = "i=0; while true; do i=$((i+1)); echo line $i; echo again; sleep 0.1; done"
POD: dict[str, Any] = {
    "metadata": {"name": "p"},
    "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {"name": "talks", "image": "busybox", "command": ["sh", "-c", LINES]},
            {
                "name": "serves",
                "image": "python",
                "command": ["python", "-m", "http.server", "8080", "--bind", "$(POD_IP)"],
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 1},
            },
        ],
    },
}
minors = pytest.mark.parametrize("minor", ["1.31", "1.33"])


@pytest.fixture
async def pod(whole: Served) -> str:
    """The pod default/p, ready; made once."""
    async with KubeClient(load_kubeconfig(whole.kubeconfig)) as kube:
        if not (await kube.list("pods", "default"))["items"]:
            await kube.create("pods", POD, "default")
        async for event in kube.watch("pods", "default", timeout_seconds=15):
            conditions = (event["object"].get("status") or {}).get("conditions") or ()
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                return "p"
    raise AssertionError("the pod never became ready")


def _command(whole: Served, tmp_path: Path, minor: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    environment = {"KUBECONFIG": str(whole.kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    return [str(kubectl_program(minor)), *arguments], environment


def _kubectl(
    whole: Served, tmp_path: Path, minor: str, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command, environment = _command(whole, tmp_path, minor, *arguments)
    return subprocess.run(command, env=environment, input=stdin, capture_output=True, timeout=20)


@pytest.fixture
def forwarded(whole: Served, pod: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """A local port that kubectl forwards to the pod's 8080."""
    command, environment = _command(whole, tmp_path, request.param, "port-forward", pod, ":8080")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = re.search(rb"127.0.0.1:(\d+) -> 8080", process.stdout.readline())
        assert found is not None
        yield int(found[1])
        process.terminate()


@pytest.mark.parametrize("forwarded", ["1.31", "1.33"], indirect=True)
def test_port_forward_carries_many_connections(forwarded: int, tmp_path: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(5):
        with opener.open(f"http://127.0.0.1:{forwarded}/", timeout=5) as answer:
            assert b"Directory listing" in answer.read()


@minors
def test_exec_carries_streams_and_the_exit_code(whole: Served, pod: str, tmp_path: Path, minor: str) -> None:
    script = "echo out; echo err >&2; exit 3"
    done = _kubectl(whole, tmp_path, minor, "exec", pod, "-c", "talks", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (3, b"out\n")
    assert b"err\n" in done.stderr
    data = os.urandom(300_000)
    done = _kubectl(whole, tmp_path, minor, "exec", "-i", pod, "-c", "talks", "--", "cat", stdin=data)
    assert (done.returncode, done.stdout == data) == (0, True)
    done = _kubectl(whole, tmp_path, minor, "exec", pod, "-c", "talks", "--", "no-such-program")
    assert done.returncode != 0


def test_logs(whole: Served, pod: str, tmp_path: Path) -> None:
    done = _kubectl(whole, tmp_path, "1.32", "logs", pod, "-c", "talks", "--tail=2")
    assert len(done.stdout.splitlines()) == 2
    done = _kubectl(whole, tmp_path, "1.32", "logs", pod, "-c", "talks", "--timestamps", "--limit-bytes=40")
    assert re.match(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z line 1", done.stdout)
    assert len(done.stdout) == 40
    command, environment = _command(whole, tmp_path, "1.32", "logs", "-f", pod, "-c", "talks")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(20)]
        process.terminate()
    assert first[0] == b"line 1\n"
    assert len(set(first)) == 11


PROGRAM = """
import sys
from kubernetes import client, config
from kubernetes.stream import portforward, stream

config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()
options = dict(container="talks", stderr=True, stdin=False, stdout=True, tty=False)
command = ["sh", "-c", "echo hi; exit 0"]
print(stream(core.connect_get_namespaced_pod_exec, "p", "default", command=command, **options), end="")
ports = portforward(core.connect_get_namespaced_pod_portforward, "p", "default", ports="8080")
connection = ports.socket(8080)
connection.setblocking(True)
connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(connection.recv(8).decode())
"""


def test_the_python_client_execs_and_forwards(whole: Served, pod: str) -> None:
    """In a process of its own, as that client leaves its sockets to the garbage collector."""
    pytest.importorskip("kubernetes")
    command = [sys.executable, "-c", PROGRAM, str(whole.kubeconfig)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.stdout == "hi\nHTTP/1.0\n", done.stderr
