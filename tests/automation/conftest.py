"""A real runner process with a real program in it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Runner:
    """`python -m lab.automation` on a workspace given as file contents."""

    def __init__(
        self, folder: Path, files: dict[str, str], runtime: str, entrypoint: str, extra: str
    ) -> None:
        self.mounted = folder / "mounted"
        self.mounted.mkdir()
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        manifest = f"apiVersion: toil-lab/v1\nkind: Automation\nname: probe\nruntime: {runtime}\n"
        (self.mounted / "automation.yaml").write_text(f"{manifest}entrypoint: {entrypoint}\n{extra}")
        for name, text in files.items():
            (self.mounted / name).write_text(text)
        self.port = free_port()
        self.log_path = folder / "log"
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "WORKSPACE_DIR": str(self.mounted),
            "SCRATCH_DIR": str(self.scratch),
            "METRICS_PORT": str(self.port),
            "KUBECONFIG": "/credentials/kubeconfig",
            "PROMETHEUS_URL": "http://127.0.0.1:1",
            "PAGER_URL": "http://127.0.0.1:2",
            "LAB_HOUR_SECONDS": "60",
            "LAB_SEED": "99",
            "LAB_ADMIN_TOKEN": "secret",
        }
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lab.automation"], env=env, stdout=log, stderr=subprocess.STDOUT
            )

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=2) as answer:
            return str(answer.read().decode())

    def until(self, condition: Callable[[], object], seconds: float = 15) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except (urllib.error.URLError, ConnectionError):
                pass
            assert time.monotonic() < deadline, f"not in {seconds} s; log:\n{self.log()[-3000:]}"
            self.process.poll()
            threading.Event().wait(0.05)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Runner]]:
    """Start a runner; whatever is left of it is killed at the end."""
    runners: list[Runner] = []

    def start(
        files: dict[str, str], *, runtime: str = "python", entrypoint: str = "main.py", extra: str = ""
    ) -> Runner:
        runners.append(Runner(tmp_path, files, runtime, entrypoint, extra))
        return runners[-1]

    yield start
    for runner in runners:
        left = runner.tree() if runner.process.poll() is None else []
        for process in left:
            process.kill()
        runner.process.kill()
        runner.process.wait()
