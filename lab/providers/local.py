"""The embedded provider: localkube as a daemon of its own, on a loopback block of its own."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import sys
import time
import zlib
from pathlib import Path
from threading import Event
from typing import Any

from lab.core import interrupt
from lab.core.places import data_root
from lab.errors import NotReadyError, ProviderError
from lab.process import find_processes, is_running, process_started, start_daemon, terminate
from lab.providers.base import Capabilities, Cluster, Say, quiet
from lab.providers.facts import facts_file, read_facts, write_facts
from lab.providers.prometheus import installed_prometheus

API_PORT = 6443
BLOCKS = range(10, 250)
START_SECONDS = 20.0
STOP_SECONDS = 10.0
BACKOFF_MAX_SECONDS = 30.0
UPSTREAM_GRACE, UPSTREAM_TOLERATION = 40.0, 300.0
LEAST_GRACE_SECONDS = 4.0
"""A busy machine may keep a healthy node from its heartbeat for that long."""
UPSTREAM_SYNC, LEAST_SYNC_SECONDS = 15.0, 3.0
UPSTREAM_WINDOW, LEAST_WINDOW_SECONDS = 15.0, 5.0
"""Less would make an autoscaler follow every breath of a busy machine."""
_ARGUMENTS = ("-m", "lab.localkube", "--data-dir")
_LOG_HINT = "lab up --retain keeps what there is of the lab; then lab logs cluster shows the whole story"


class LocalProvider:
    """localkube: no Docker, no root, ready in a second. Its state is below the lab's folder."""

    name = "local"
    alone = False
    ready_seconds = 60.0
    capabilities = Capabilities(
        service_addresses_reachable=True,
        memory_limits=True,
        network_policy=False,
        node_loss=True,
        isolated_processes=False,
        any_image=False,
    )

    def check(self) -> None:
        if installed_prometheus() is None:
            raise NotReadyError("Prometheus is not installed", hint="lab setup fetches it into the cache")

    def create(
        self, directory: Path, *, nodes: int = 1, hour_seconds: float = 60.0, say: Say = quiet
    ) -> Cluster:
        self.check()
        self.delete(directory)
        home = directory / "cluster"
        home.mkdir(parents=True, exist_ok=True)
        for block in _candidates(directory):
            cluster = self._start(
                directory, block, [*node_options(nodes, hour_seconds), *scaling_options(hour_seconds)]
            )
            if cluster is not None:
                return cluster
        raise ProviderError(
            f"no free loopback block: port {API_PORT} is taken on 127.{BLOCKS[0]}.0.1 … 127.{BLOCKS[-1]}.0.1",
            hint="lab down --all removes labs that are no longer needed",
        )

    def find(self, directory: Path) -> Cluster | None:
        facts = read_facts(directory)
        if facts is None or not is_running(int(facts["pid"]), float(facts["started"])):
            return None
        return Cluster(self.name, Path(facts["kubeconfig"]), str(facts["server"]), facts)

    def address(self, directory: Path, service: str, cluster_ip: str, port: int) -> str:
        return f"{cluster_ip}:{port}"

    def delete(self, directory: Path) -> None:
        facts = read_facts(directory)
        if facts is not None:
            terminate(int(facts["pid"]), float(facts["started"]), STOP_SECONDS)
        elif (directory / "cluster").exists():  # whoever started it was killed before that was on record
            for pid, started in find_processes(*_ARGUMENTS, str(directory / "cluster")):
                terminate(pid, started, STOP_SECONDS)
        for pid, started in _left_processes(directory / "cluster"):
            terminate(pid, started, 1.0)
        shutil.rmtree(directory / "cluster", ignore_errors=True)
        facts_file(directory).unlink(missing_ok=True)

    def belongings(self, directory: Path) -> list[str]:
        return []

    def log_tail(self, directory: Path, lines: int = 20) -> str:
        try:
            text = _log_file(directory).read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _start(self, directory: Path, block: int, more: list[str]) -> Cluster | None:
        """One attempt on one block; None when somebody else took the block first."""
        home = directory / "cluster"
        ready = home / "ready.json"
        ready.unlink(missing_ok=True)
        pid = start_daemon(
            [
                *(sys.executable, *_ARGUMENTS, str(home), "--block", str(block), "--ready-file", str(ready)),
                *("--images", str(data_root() / "clusters" / "local" / "images.yaml")),
                *("--backoff-max", str(BACKOFF_MAX_SECONDS), "--warm"),
                *more,
            ],
            log=_log_file(directory),
        )
        started = process_started(pid)
        facts: dict[str, Any] = {"pid": pid, "started": started, "block": block}
        write_facts(directory, facts | {"kubeconfig": str(home / "admin.kubeconfig"), "server": ""})
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if not is_running(pid, started):
                if _taken(block):
                    return None
                raise ProviderError(
                    f"localkube ended while starting: {self.log_tail(directory, 1)}",
                    hint=_LOG_HINT,
                )
            if time.monotonic() > deadline:
                terminate(pid, started, 1.0)
                raise ProviderError(
                    f"localkube was not ready within {START_SECONDS:.0f} s: {self.log_tail(directory, 1)}",
                    hint=_LOG_HINT,
                )
            interrupt.check()
            Event().wait(0.01)
        answer = json.loads(ready.read_text())
        write_facts(directory, facts | {"kubeconfig": answer["kubeconfig"], "server": answer["server"]})
        return self.find(directory)


def node_options(nodes: int, hour_seconds: float) -> list[str]:
    """Upstream's times until a lost node is given up, and until its pods are, as lab time."""
    if nodes == 1:
        return []
    grace = max(LEAST_GRACE_SECONDS, UPSTREAM_GRACE * hour_seconds / 3600)
    toleration = max(1, round(UPSTREAM_TOLERATION * hour_seconds / 3600))
    options = {"nodes": nodes, "node-monitor-grace-period": grace, "default-toleration-seconds": toleration}
    return [f"--{name}={value}" for name, value in options.items()]


def scaling_options(hour_seconds: float) -> list[str]:
    """How often autoscalers look, and how far back, as lab time."""
    scale = min(1.0, hour_seconds / 3600)
    sync = max(LEAST_SYNC_SECONDS, UPSTREAM_SYNC * scale)
    window = max(LEAST_WINDOW_SECONDS, UPSTREAM_WINDOW * scale)
    return [f"--autoscaler-sync={sync:g}", f"--metrics-window={window:g}"]


def _candidates(directory: Path) -> list[int]:
    """Free blocks, starting at one that depends on the folder, so that two labs rarely meet."""
    offset = zlib.crc32(str(directory).encode()) % len(BLOCKS)
    blocks = [BLOCKS[(offset + step) % len(BLOCKS)] for step in range(len(BLOCKS))]
    return [block for block in blocks if not _taken(block)]


def _taken(block: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((f"127.{block}.0.1", API_PORT))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                return True
            raise
    return False


def _left_processes(home: Path) -> list[tuple[int, float]]:
    """Pod processes that a killed localkube recorded and may have left: (pid, start time)."""
    try:
        recorded = json.loads((home / "kubelet" / "processes.json").read_text())
    except (OSError, ValueError):
        return []
    entries = recorded.values() if isinstance(recorded, dict) else recorded
    return [(int(entry["pid"]), float(entry["started"])) for entry in entries]


def _log_file(directory: Path) -> Path:
    return directory / "localkube.log"
