"""The official Python client's stream: terminals, input that ends, attach, much data.

In processes of their own, as that client leaves its sockets to the garbage collector.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from localkube_process import Served
from streams_bench import SECONDS, SHELL, make_pod

from lab.kube.client import KubeClient

EXEC = pytest.mark.conforms(client="python (stream)", verb="exec with a terminal")
ATTACH = pytest.mark.conforms(client="python (stream)", verb="attach")
BEGIN = """
import json, sys
from kubernetes import client, config
from kubernetes.stream import stream

config.load_kube_config(sys.argv[1])
core, namespace = client.CoreV1Api(), sys.argv[2]

def open(connect, pod, **options):
    return stream(connect, pod, namespace, stdout=True, _preload_content=False, **options)

def until(socket, text):
    seen = ""
    while text not in seen:
        assert socket.is_open(), seen
        socket.update(timeout=1)
        seen += socket.read_all()
    return seen
"""
TERMINAL = """
socket = open(core.connect_get_namespaced_pod_exec, "p", command=["sh"], stdin=True, stderr=False, tty=True)
socket.write_channel(4, json.dumps({"Width": 100, "Height": 40}))
socket.write_channel(4, "no size at all")
socket.write_stdin("while [ \\"$(stty size)\\" != '40 100' ]; do sleep 0.05; done; echo re''sized\\n")
until(socket, "resized\\r\\n")
socket.write_stdin("exit 7\\n")
socket.run_forever(timeout=60)
print(socket.returncode)
script = ["sleep", "3600"]
socket = open(core.connect_get_namespaced_pod_exec, "p", command=script, stdin=True, stderr=False, tty=True)
socket.write_stdin("\\x03")
socket.run_forever(timeout=60)
print(socket.returncode)
script = ["sh", "-c", "head -c 3000000 /dev/zero | tr '\\\\0' x; echo err >&2; exit 4"]
socket = open(core.connect_get_namespaced_pod_exec, "p", command=script, stdin=False, stderr=True, tty=False)
socket.run_forever(timeout=60)
out = socket.read_stdout()
print(len(out), set(out), socket.read_stderr(), socket.returncode)
"""
JOIN = """
socket = open(core.connect_get_namespaced_pod_attach, "reads", stdin=True, stderr=True, tty=False)
socket.write_stdin("hello\\n")
print(until(socket, "got hello\\n"), end="")
socket.write_stdin("bye\\n")
print(until(socket, "over\\n"), end="")
socket.run_forever(timeout=60)
print(socket.is_open())
"""


def _python(cluster: Served, namespace: str, program: str) -> str:
    command = [sys.executable, "-c", BEGIN + program, str(cluster.kubeconfig), namespace]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


@EXEC
@pytest.mark.slow
async def test_terminals_and_much_output(cluster: Served, kube: KubeClient, namespace: str) -> None:
    pytest.importorskip("kubernetes")
    await make_pod(kube, namespace, "p")
    assert _python(cluster, namespace, TERMINAL) == "7\n130\n3000000 {'x'} err\n 4\n"


@ATTACH
@pytest.mark.slow
async def test_attach_with_input(cluster: Served, kube: KubeClient, namespace: str) -> None:
    pytest.importorskip("kubernetes")
    script = "while read word && [ $word != bye ]; do echo got $word; done; echo over; sleep 1"
    reads = {**SHELL, "command": ["sh", "-c", script], "stdin": True}
    await make_pod(kube, namespace, "reads", reads, restartPolicy="Never")
    assert _python(cluster, namespace, JOIN) == "got hello\nover\nFalse\n"
