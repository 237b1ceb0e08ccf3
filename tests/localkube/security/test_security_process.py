"""What the processes of a cluster listen on and leave on the disk is for this user on this machine."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from localkube_process import Served, running
from security_wire import Wire

_LISTENING = "0A"
_PATIENCE = 60.0
PODS = "/api/v1/namespaces/default/pods"
_SERVER = """
import http.server, os
http.server.HTTPServer((os.environ["POD_IP"], 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Served]:
    """A whole cluster with a pod that listens, a Service before it, and a token mounted."""
    with running() as served:
        wire = Wire(served)
        field = {"fieldRef": {"fieldPath": "status.podIP"}}
        container = {
            "name": "c",
            "image": "python",
            "command": ["python", "-c", _SERVER],
            "env": [{"name": "POD_IP", "valueFrom": field}],
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        }
        pod = {"metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {"containers": [container]}}
        service = {
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 8080}]},
        }
        service["spec"]["type"] = "NodePort"  # type: ignore[index]
        assert wire.ask("POST", "/api/v1/namespaces/default/services", json.dumps(service)).code == 201
        assert wire.ask("POST", PODS, json.dumps(pod)).code == 201
        deadline = time.monotonic() + _PATIENCE
        while not _ready(wire.ask("GET", f"{PODS}/web").status):
            assert time.monotonic() < deadline, wire.ask("GET", f"{PODS}/web").body
            threading.Event().wait(0.05)
        yield served


def _ready(pod: dict) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def family(pid: int) -> set[int]:
    """A process and all below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pids: set[int]) -> list[tuple[str, int]]:
    """The addresses, as IPv4 text or `IPv6`, and ports that processes listen on."""
    sockets = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = os.readlink(link)
            except OSError:
                continue
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in sockets and (fields[3] == _LISTENING or table.startswith("udp")):
                address, _, port = fields[1].partition(":")
                parts = [str(byte) for byte in reversed(bytes.fromhex(address))]
                found.append((".".join(parts) if len(parts) == 4 else "IPv6", int(port, 16)))
    return found


@pytest.mark.slow
def test_nothing_listens_beyond_loopback(cluster: Served) -> None:
    pids = family(cluster.process.pid)
    found = listening(pids)
    assert len(pids) > 1
    assert {port for _, port in found} >= {6443, 8080}
    assert [(address, port) for address, port in found if not address.startswith("127.")] == []
    assert [(address, port) for address, port in found if address == "127.0.0.1"] == []


def exposed(root: Path) -> list[str]:
    """What others than its owner may read or enter, links aside."""
    loose = []
    for path in [root, *root.rglob("*")]:
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISLNK(mode) and stat.S_IMODE(mode) & 0o077:
            loose.append(f"{stat.S_IMODE(mode):o} {path.relative_to(root)}")
    return loose


@pytest.mark.slow
def test_credentials_and_stored_objects_are_private(cluster: Served) -> None:
    data = cluster.kubeconfig.parent
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    for private in ("pki", "store", "admin.kubeconfig"):
        assert exposed(data / private) == []
    assert stat.S_IMODE((data / "kubelet").stat().st_mode) == 0o700
