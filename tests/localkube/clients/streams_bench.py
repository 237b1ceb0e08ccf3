"""kubectl, pipes and terminals for the tests of streams."""

from __future__ import annotations

import fcntl
import os
import pty
import selectors
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kubectls import kubectl_program
from localkube_process import Served

from lab.kube.client import KubeClient

MINORS = ("1.30", "1.31", "1.32", "1.33")
every_kubectl = pytest.mark.parametrize("minor", MINORS)
either_kubectl = pytest.mark.parametrize("minor", ["1.30", "1.33"])
"""One that speaks SPDY, one that speaks WebSocket: for what takes long."""
SECONDS = 60.0
"""How long anything may take on a machine that has other things to do."""
SHELL: dict[str, Any] = {"name": "main", "image": "busybox", "command": ["sleep", "3600"]}
POD_IP = {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


class Kubectl:
    """One kubectl in one namespace."""

    def __init__(self, binary: str, cluster: Served, namespace: str, home: Path) -> None:
        self.command = [binary, "-n", namespace]
        self.environment = {
            "KUBECONFIG": str(cluster.kubeconfig),
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
        }

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run it to its end."""
        return subprocess.run(
            [*self.command, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
        )

    def ok(self, *arguments: str, stdin: bytes = b"") -> str:
        """The output of a command that succeeds."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout.decode()

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start it; the caller ends it."""
        return subprocess.Popen([*self.command, *arguments], env=self.environment, **options)


Kubectls = Callable[[str], Kubectl]


@pytest.fixture
def kubectl(cluster: Served, namespace: str, tmp_path: Path) -> Kubectls:
    """Makes a kubectl of a minor release, in the test's namespace."""
    return lambda minor: Kubectl(str(kubectl_program(minor)), cluster, namespace, tmp_path)


class Terminal:
    """A program at a terminal of 31 rows and 77 columns, as a person has it before them."""

    def __init__(self, kubectl: Kubectl, *arguments: str) -> None:
        self._near, far = pty.openpty()
        self.resize(31, 77)
        self._said = b""
        self._process = subprocess.Popen(
            [*kubectl.command, *arguments],
            env=kubectl.environment,
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
        )
        os.close(far)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(SECONDS)
        os.close(self._near)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size; kubectl hears of it by SIGWINCH."""
        fcntl.ioctl(self._near, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        process = getattr(self, "_process", None)
        if process is not None:
            process.send_signal(28)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._near, text.encode())

    def until(self, text: str) -> str:
        """Wait until this can be read; all that could be read since the last time."""
        deadline = time.monotonic() + SECONDS
        while text.encode() not in self._said:
            assert time.monotonic() < deadline, (text, self._said)
            assert self._read(), (text, self._said)
        seen, self._said = self._said, b""
        return seen.decode()

    def end(self) -> tuple[int, str]:
        """Wait until the program has ended: its exit code, and the rest of what could be read."""
        while self._read():
            pass
        code = self._process.wait(SECONDS)
        return code, self._said.decode()

    def _read(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self._near, selectors.EVENT_READ)
            assert selector.select(SECONDS), self._said
        with suppress(OSError):
            data = os.read(self._near, 65536)
            self._said += data
            return bool(data)
        return False


async def make_pod(
    kube: KubeClient, namespace: str, name: str, *containers: dict[str, Any], **spec: Any
) -> str:
    """A pod whose containers have started; its name."""
    whole = {"terminationGracePeriodSeconds": 0, "containers": list(containers or (SHELL,)), **spec}
    await kube.create("pods", {"metadata": {"name": name, "labels": {"app": name}}, "spec": whole}, namespace)
    async for event in kube.watch("pods", namespace, timeout_seconds=int(SECONDS)):
        pod = event["object"]
        if pod["metadata"]["name"] == name and (pod.get("status") or {}).get("phase") == "Running":
            conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions") or ()}
            if conditions.get("Ready") == "True":
                return name
    raise AssertionError(f"pod {name} did not become ready")


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Ask until the answer is yes."""
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)  # noqa: TID251 - between two questions to a process outside of this one
    return found


def lives(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
