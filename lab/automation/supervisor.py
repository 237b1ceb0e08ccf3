"""Keeps the candidate's program running: starts it, restarts it with a back-off, ends its whole tree.

The program gets its own process group, its own writable copy of the workspace, and only the variables of the
contract. What it prints goes, bounded, to the pod's log.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab.automation.manifest import Automation, Runtime
from lab.automation.output import LineLimit, forward
from lab.automation.processes import descendants, end_tree, reap_orphans, signal_tree
from lab.core.clock import Clock

GRACE_SECONDS = 3.0
BACKOFF_FIRST = 0.5
BACKOFF_MOST = 10.0
STABLE_SECONDS = 10.0
MAX_PROCESSES = 200
MAX_ADDRESS_BYTES = 4 * 1024 * 1024 * 1024
MAX_FILE_BYTES = 256 * 1024 * 1024
_POLL_SECONDS = 0.2
_WATCH_SECONDS = 1.0
GIVEN = (
    *("KUBECONFIG", "PROMETHEUS_URL", "PAGER_URL", "LAB_HOUR_SECONDS"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION"),
    *("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "OPS_DATABASE_URL"),
)
"""Variables of the pod that the program gets: the last two lines with the optional parts of the lab."""

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one runner: the scratch folder, and below it the copied workspace, the home, the metrics
    files, the playbook runs, and temporary files."""

    scratch: Path
    workspace: Path
    home: Path
    textfiles: Path
    runs: Path
    temporary: Path

    @classmethod
    def below(cls, scratch: Path) -> Places:
        """Create them below a scratch folder, private to this user."""
        names = ("workspace", "home", "textfile", "runs", "tmp")
        for name in names:
            (scratch / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(scratch, *(scratch / name for name in names))


def command(automation: Automation, places: Places) -> list[str]:
    """The program's argument vector."""
    entrypoint = str(places.workspace / automation.entrypoint)
    if automation.runtime is Runtime.PYTHON:
        return [sys.executable, "-u", entrypoint, *automation.args]
    if automation.runtime is Runtime.EXECUTABLE:
        return [entrypoint, *automation.args]
    return [
        *(sys.executable, "-u", "-m", "lab.automation.playbook"),
        *("--project", str(places.workspace), "--runs", str(places.runs)),
        *("--every", str(automation.every), automation.entrypoint, "--", *automation.args),
    ]


def environment(automation: Automation, places: Places, given: dict[str, str]) -> dict[str, str]:
    """All variables of the program: those of the contract, and the constants of automation.yaml."""
    path = [str(Path(sys.executable).parent), *(given.get("PATH") or _SYSTEM_PATH).split(":")]
    return {
        **dict(automation.env),
        "PATH": ":".join(dict.fromkeys(path)),
        "HOME": str(places.home),
        "LANG": "C.UTF-8",
        "TEXTFILE_DIR": str(places.textfiles),
        "TMPDIR": str(places.temporary),
        **{name: given[name] for name in GIVEN if name in given},
    }


class Supervisor:
    """One program, kept running until `stop`."""

    def __init__(
        self,
        automation: Automation,
        places: Places,
        env: dict[str, str],
        clock: Clock,
        log: Callable[[str], None],
    ) -> None:
        self.up = False
        self.restarts = 0
        self.number = 0
        self._automation = automation
        self._places = places
        self._env = env
        self._clock = clock
        self._log = log
        self._limit = LineLimit(clock, log)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Start the program again and again; returns after `stop`, with nothing left running."""
        backoff = BACKOFF_FIRST
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            await self._run_once()
            if self._stopping.is_set():
                break
            if self._clock.monotonic() - began >= STABLE_SECONDS:
                backoff = BACKOFF_FIRST
            self._log(f"[runner] starting it again in {backoff:g} s")
            await self._pause(backoff)
            backoff = min(backoff * 2, BACKOFF_MOST)
            self.restarts += 1

    def stop(self) -> None:
        """Ask `run` to end the program and return."""
        self._stopping.set()

    def kill(self) -> None:
        """SIGKILL to the program and its children. It is started again as after any other end."""
        self._signal(signal.SIGSTOP, signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP to the program and its children."""
        self._signal(signal.SIGSTOP, signal.SIGSTOP)  # twice: children that were just being made

    def resume(self) -> None:
        """SIGCONT to the program and its children."""
        self._signal(signal.SIGCONT)

    def _signal(self, *numbers: signal.Signals) -> None:
        if self._process is not None:
            for number in numbers:
                signal_tree(self._process.pid, number, keep=self._process.pid)

    async def _run_once(self) -> None:
        argv = command(self._automation, self._places)
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=self._env,
                cwd=self._places.workspace,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._log(f"[runner] cannot start {self._automation.entrypoint}: {error.strerror or error}")
            return
        self._process = process
        self.number += 1
        _limit_resources(process.pid)
        self.up = True
        self._log(f"[runner] started {self._automation.name} (pid {process.pid})")
        assert process.stdout is not None
        output = asyncio.ensure_future(forward(process.stdout, self._limit, self._clock))
        try:
            await self._until_end(process)
        finally:
            self.up = False
            self.resume()
            if not await end_tree(process.pid, self._clock, grace=GRACE_SECONDS, keep=process.pid):
                self._log("[runner] some processes of the program could not be ended")
            code = await process.wait()
            await asyncio.wait([output], timeout=1.0)
            output.cancel()
            self._process = None
        self._log(f"[runner] {self._automation.name} {describe_exit(code)}")

    async def _until_end(self, process: asyncio.subprocess.Process) -> None:
        """Return when the program ends, is to be stopped, or uses more than it may.

        `process.wait()` would also wait for children that still hold the output pipe, so the return code
        is looked at instead.
        """
        began = self._clock.monotonic()
        while process.returncode is None and not self._stopping.is_set():
            await self._pause(_POLL_SECONDS)
            if self._clock.monotonic() - began >= _WATCH_SECONDS:
                began = self._clock.monotonic()
                excess = _excess(process.pid)
                if excess:
                    self._log(f"[runner] ending {self._automation.name}: {excess}")
                    return

    async def _pause(self, seconds: float) -> None:
        waits = [
            asyncio.ensure_future(self._clock.sleep(seconds)),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def describe_exit(code: int) -> str:
    """An exit code in words."""
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _excess(main: int) -> str:
    reap_orphans(main)
    tree = descendants(os.getpid())
    if len(tree) > MAX_PROCESSES:
        return f"{len(tree)} processes, at most {MAX_PROCESSES} are allowed"
    return ""


def _limit_resources(pid: int) -> None:
    """Bound what one process may take: the size of a file, core dumps, address space (Linux)."""
    if not hasattr(resource, "prlimit"):
        return
    limits = (
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, MAX_ADDRESS_BYTES),
    )
    for kind, value in limits:
        try:
            resource.prlimit(pid, kind, (value, value))
        except (OSError, ValueError):
            continue
