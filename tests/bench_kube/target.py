"""A server under measurement: how to reach it, what its processes are, and a namespace in it to work in."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lab.kube.kubeconfig import Connection, load_kubeconfig
from tests.address_blocks import free_block
from tests.bench_kube.thin import ThinClient, encoded

START_SECONDS = 60.0
GONE_SECONDS = 300.0
_MIB = 2**20


@dataclass
class Target:
    """`processes` are the roots of the server's process trees; none when they are not known."""

    name: str
    kubeconfig: Path
    processes: list[psutil.Process] = field(default_factory=list)
    ready_seconds: float | None = None

    @property
    def connection(self) -> Connection:
        """How to reach it."""
        return load_kubeconfig(self.kubeconfig)

    @contextlib.contextmanager
    def thin(self) -> Iterator[ThinClient]:
        """A thin client of its own."""
        client = ThinClient(self.connection)
        try:
            yield client
        finally:
            client.close()

    def cpu(self) -> float:
        """Processor seconds that its processes have used; 0 when they are not known."""
        times = [process.cpu_times() for process in self._all()]
        return sum(each.user + each.system for each in times)

    def weight(self) -> float:
        """MiB resident in its processes; of their children, which share libraries with them, their own part.

        So it is the same whatever else runs on the machine.
        """
        children = {child for root in self.processes for child in root.children(recursive=True)}
        own = sum(child.memory_full_info().uss for child in children)
        return float((sum(root.memory_info().rss for root in self.processes) + own) / _MIB)

    def _all(self) -> Iterator[psutil.Process]:
        for root in self.processes:
            yield from (root, *root.children(recursive=True))

    @contextlib.contextmanager
    def namespace(self) -> Iterator[str]:
        """A new namespace with its ServiceAccount; at the end it is removed, and gone."""
        name = f"bench-kube-{secrets.token_hex(4)}"
        path = f"/api/v1/namespaces/{name}"
        with self.thin() as client:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            client.ask("POST", "/api/v1/namespaces", encoded(body))
            accounts = f"{path}/serviceaccounts?fieldSelector=metadata.name%3Ddefault"
            wait_until(lambda: b'"uid"' in client.ask("GET", accounts), START_SECONDS, "a ServiceAccount")
        try:
            yield name
        finally:
            with self.thin() as client:
                client.ask("DELETE", path)
                same = f"/api/v1/namespaces?fieldSelector=metadata.name%3D{name}"
                wait_until(
                    lambda: b'"uid"' not in client.ask("GET", same), GONE_SECONDS, f"{name} to be gone"
                )


def wait_until(ready: Callable[[], bool], seconds: float, what: str, every: float = 0.01) -> None:
    """Wait for a condition. Raises SystemExit when it does not come."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds:g} s for {what}")
        time.sleep(every)  # noqa: TID251 - real time is what is measured


@contextlib.contextmanager
def own_localkube(*options: str, name: str = "localkube") -> Iterator[Target]:
    """A fresh localkube of its own, from start to end; `ready_seconds` is how long it took to start."""
    with tempfile.TemporaryDirectory(prefix="bench-kube-") as folder:
        ready, log = Path(folder) / "ready", Path(folder) / "log"
        command = [sys.executable, "-m", "lab.localkube", "--block", str(free_block()), *options]
        command += ["--data-dir", f"{folder}/data", "--ready-file", str(ready)]
        with log.open("wb") as output:
            begun = time.monotonic()
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        try:
            wait_until(
                lambda: ready.exists() or process.poll() is not None, START_SECONDS, "localkube", 0.002
            )
            if process.poll() is not None:
                raise SystemExit(f"localkube did not start: {log.read_text()[-500:]}")
            seconds = time.monotonic() - begun
            kubeconfig = Path(json.loads(ready.read_text())["kubeconfig"])
            yield Target(name, kubeconfig, [psutil.Process(process.pid)], seconds)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
