"""kubectl port-forward: pods, deployments and services, several ports, many connections, pods that die."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from localkube_process import Served
from streams_bench import (
    POD_IP,
    SECONDS,
    Kubectl,
    Kubectls,
    every_kubectl,
    kubectl,
    make_pod,
    memory,
    wait_until,
)

from lab.kube.client import KubeClient

__all__ = ["kubectl"]

FORWARD = pytest.mark.conforms(client="kubectl", verb="port-forward")
SERVER = """
import http.server, os, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        size = int(self.path.rpartition("/")[2] or 0)
        body = f"{self.server.server_port} ".encode() + b"x" * size
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_): pass

servers = [http.server.ThreadingHTTPServer((os.environ["POD_IP"], port), Handler) for port in (8080, 8081)]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
"""
CONTAINER: dict[str, Any] = {
    "name": "main",
    "image": "python",
    "command": ["python", "-c", SERVER],
    "env": [POD_IP],
    "ports": [{"name": "web", "containerPort": 8080}],
    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
}
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(port: int, path: str = "/", data: bytes | None = None) -> bytes:
    with _opener.open(f"http://127.0.0.1:{port}{path}", data=data, timeout=SECONDS) as answer:
        return bytes(answer.read())


class Forward:
    """A running port-forward: its local ports by the pod's, and what it complains of."""

    def __init__(self, process: subprocess.Popen[bytes], count: int) -> None:
        self.process = process
        self.ports: dict[int, int] = {}
        assert process.stdout is not None
        while len(self.ports) < count:
            line = process.stdout.readline()
            assert line, process.communicate()
            found = re.match(rb"Forwarding from 127.0.0.1:(\d+) -> (\d+)", line)
            if found:
                self.ports[int(found[2])] = int(found[1])
        self._drain = threading.Thread(target=process.stdout.read)
        self._drain.start()

    def complaint(self) -> str:
        """Wait for its end: what it said of it."""
        assert self.process.stderr is not None
        said = self.process.stderr.read().decode()
        assert self.process.wait(SECONDS) == 1
        return said

    def close(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        self._drain.join()


@contextmanager
def forwarding(kubectl: Kubectl, what: str, *ports: str) -> Iterator[Forward]:
    pipe = subprocess.PIPE
    with kubectl.start(
        "port-forward", "--address=127.0.0.1", what, *ports, stdout=pipe, stderr=pipe
    ) as process:
        forward = Forward(process, len(ports))
        try:
            yield forward
        finally:
            forward.close()


@FORWARD
@every_kubectl
@pytest.mark.slow
async def test_several_ports_and_many_connections(
    kubectl: Kubectls, kube: KubeClient, cluster: Served, namespace: str, minor: str
) -> None:
    name = await make_pod(kube, namespace, "web", CONTAINER)
    with forwarding(kubectl(minor), f"pod/{name}", ":8080", ":8081") as forward:
        before = memory(cluster.process.pid)
        asked = [(port, size) for port in (8080, 8081) for size in (0, 10, 1_000_000)] * 5
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda ask: get(forward.ports[ask[0]], f"/{ask[1]}"), asked))
        for (port, size), answer in zip(asked, answers, strict=True):
            assert (answer[:5], len(answer)) == (f"{port} ".encode(), size + 5)
        assert len(get(forward.ports[8080], "/50000000")) == 50_000_005
        assert get(forward.ports[8081], "/", data=b"x" * 20_000_000) == b"ok"
        assert memory(cluster.process.pid) - before < 40_000_000


@FORWARD
@pytest.mark.parametrize("minor", ["1.32", "1.33"])
@pytest.mark.slow
async def test_a_client_that_does_not_read_holds_up_no_memory(
    kubectl: Kubectls, kube: KubeClient, cluster: Served, namespace: str, minor: str
) -> None:
    """kubectl before 1.32 may then wait for ever: it does not reset the stream that nobody reads."""
    name = await make_pod(kube, namespace, "web", CONTAINER)
    with forwarding(kubectl(minor), f"pod/{name}", ":8080") as forward:
        before = memory(cluster.process.pid)
        with socket.create_connection(("127.0.0.1", forward.ports[8080]), SECONDS) as lazy:
            lazy.sendall(b"GET /300000000 HTTP/1.0\r\n\r\n")
            assert lazy.recv(4) == b"HTTP"
        assert get(forward.ports[8080], "/5") == b"8080 xxxxx"
        assert memory(cluster.process.pid) - before < 40_000_000


@FORWARD
@every_kubectl
@pytest.mark.slow
def test_to_a_deployment_and_a_service(kubectl: Kubectls, minor: str) -> None:
    run, labels = kubectl(minor), {"app": "shop"}
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}},
    }
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}, "spec": spec}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": "web"}]},
    }
    for each in (deployment, service):
        run.ok("create", "-f", "-", stdin=json.dumps(each).encode())
    run.ok("rollout", "status", "deployment/shop", "--timeout=60s")
    with forwarding(run, "deployment/shop", ":8081") as forward:
        assert get(forward.ports[8081]) == b"8081 "
    with forwarding(run, "service/shop", ":80") as forward:
        assert get(forward.ports[8080]) == b"8080 "


@FORWARD
@every_kubectl
@pytest.mark.slow
async def test_what_goes_wrong_is_said(
    kubectl: Kubectls, kube: KubeClient, namespace: str, minor: str
) -> None:
    name = await make_pod(kube, namespace, "web", CONTAINER)
    pod = await kube.get("pods", name, namespace)
    uid, address = pod["metadata"]["uid"], pod["status"]["podIP"]
    head = f"error forwarding port 9999 to pod {name}, uid {uid}: failed to connect to"
    with forwarding(kubectl(minor), name, ":9999") as forward:
        with pytest.raises(OSError):
            get(forward.ports[9999])
        said = forward.complaint()
    assert "an error occurred forwarding" in said
    assert f"{head} {address}:9999: dial tcp4 {address}:9999: connect: connection refused" in said
    assert said.endswith("error: lost connection to pod\n")
    with forwarding(kubectl(minor), name, ":8080") as forward:
        assert get(forward.ports[8080]) == b"8080 "
        kubectl(minor).ok("delete", "pod", name, "--now")
        with pytest.raises(OSError):
            get(forward.ports[8080])
        said = forward.complaint()
    plain = said.replace('\\"', '"')  # newer clients log the sentence as a quoted value
    assert f'uid {uid}: failed to find sandbox "{name}" in store: not found' in plain
    assert said.endswith("error: lost connection to pod\n")
    await kube.create(
        "pods", {"metadata": {"name": "no"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}, namespace
    )
    wait_until(
        lambda: kubectl(minor).ok("get", "pod", "no", "-o", "jsonpath={.spec.nodeName}"), "it has a node"
    )
    done = kubectl(minor).run("port-forward", "no", ":80")
    assert done.returncode == 1
    assert b"unable to forward port because pod is not running. Current status=Pending" in done.stderr
