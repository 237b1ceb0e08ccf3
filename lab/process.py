"""Host processes that are no pod: tools that run to their end, and daemons that outlive a command.

Commands are lists, never shell text. A process is named by its pid and its start time together, because a
pid alone may belong to somebody else by now.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import psutil

from lab.core import interrupt
from lab.errors import ProviderError

_START_SLACK = 2.0
"""Seconds by which two readings of a start time may differ; it is derived from a clock that can be set."""

_TAIL_LINES = 20
_POLL_SECONDS = 0.01
_KILLED_SECONDS = 5.0
"""How long processes may take to end after SIGKILL."""
_INTERRUPT_SECONDS = 0.2
"""How often an interrupt of the command is looked for while a tool runs."""
_INTERRUPTED_SECONDS = 3.0
"""How long an interrupted tool may take to clean up."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended with exit code 0, and what it said."""

    argv: tuple[str, ...]
    stdout: str
    stderr: str


class RunError(ProviderError):
    """A command could not start, failed or took too long. `returncode` is None when it never ended."""

    def __init__(
        self, argv: Sequence[str], why: str, output: str = "", returncode: int | None = None
    ) -> None:
        tail = "\n".join(output.strip().splitlines()[-_TAIL_LINES:])
        super().__init__(f"{shlex.join(argv)}: {why}" + (f"\n{tail}" if tail else ""))
        self.argv = tuple(argv)
        self.why = why
        self.returncode = returncode
        self.output = output


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    input: str | None = None,
    interruptible: bool = True,
) -> Completed:
    """Run a command to its end, at most `timeout` seconds; a late one is killed with all its children.

    interruptible: an interrupt ends it, first by SIGTERM, and raises KeyboardInterrupt. False is for what
    cleans up.

    Raises RunError with the command and its last lines.
    """
    if interruptible:
        interrupt.check()
    try:
        with interrupt.held():
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=None if env is None else dict(env),
                cwd=cwd,
                text=True,
                errors="replace",
                start_new_session=True,
            )
    except OSError as error:
        raise RunError(argv, f"cannot start: {error.strerror or error}") from error
    with process:
        try:
            stdout, stderr = _communicate(process, input, timeout, interruptible)
        except subprocess.TimeoutExpired as late:
            _kill_group(process.pid)
            stdout, stderr = process.communicate()
            raise RunError(argv, f"did not end within {timeout:g} s", stdout + stderr) from late
        except KeyboardInterrupt:
            _end_group(process)
            raise
        except BaseException:
            _kill_group(process.pid)
            raise
    if process.returncode != 0:
        code = process.returncode
        why = f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"
        raise RunError(argv, why, stdout + stderr, code)
    return Completed(tuple(argv), stdout, stderr)


def _communicate(
    process: subprocess.Popen[str], input: str | None, timeout: float, interruptible: bool
) -> tuple[str, str]:
    deadline = time.monotonic() + timeout
    while True:
        if interruptible:
            interrupt.check()
        try:
            return process.communicate(input, timeout=min(_INTERRUPT_SECONDS, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= deadline:
                raise
            input = None  # it is on its way already


def start_daemon(
    argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | str | None = None
) -> int:
    """Start a process that outlives us: own session, standard input empty, output appended to `log`.

    Returns its pid; pair it at once with `process_started`. Raises RunError when it cannot start.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise RunError(argv, f"cannot start: {error.strerror or error}") from error
    finally:
        os.close(descriptor)
    # It is meant to outlive this object, which would otherwise warn that it is still running.
    process.returncode = 0
    return process.pid


def process_started(pid: int) -> float:
    """When the process started, in seconds since the epoch. Raises ProviderError when there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error as error:
        raise ProviderError(f"process {pid} does not exist") from error


def find_processes(*words: str) -> list[tuple[int, float]]:
    """Processes that have these words, one after the other, in their command lines: pid and start time."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if any(tuple(line[at : at + len(words)]) == words for at in range(len(line))):
                found.append((process.pid, process.create_time()))
        except psutil.Error:
            continue
    return found


def is_running(pid: int, started: float) -> bool:
    """Whether that very process still runs; another one with the same pid does not count, nor a zombie."""
    return _find(pid, started) is not None


def terminate(pid: int, started: float, grace: float) -> bool:
    """End a process and all below it: SIGTERM to it, and after `grace` seconds SIGKILL to what is left.

    Returns False when it was not running. Processes of the session that it leads count as below it.
    """
    root = _find(pid, started)
    if root is None:
        return False
    family = _family(root)
    _signal([root], signal.SIGTERM)
    alive = _wait(family, grace)
    left = {process.pid: process for process in (*alive, *_sessions([pid]))}
    for process in tuple(left.values()):
        left.update({child.pid: child for child in _family(process)})
    _signal(left.values(), signal.SIGKILL)
    _wait(left.values(), _KILLED_SECONDS)
    return True


def kill_sessions(leaders: Collection[int]) -> int:
    """SIGKILL all members of the sessions that these processes led, and all below; how many that were.

    For leaders that have ended, or are about to: a session's number is not given away while it has members.
    """
    left = {process.pid: process for process in _sessions(leaders)}
    for process in tuple(left.values()):
        left.update({child.pid: child for child in _family(process)})
    _signal(left.values(), signal.SIGKILL)
    _wait(left.values(), _KILLED_SECONDS)
    return len(left)


def _find(pid: int, started: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - started) > _START_SLACK or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.Error:
        return None
    return process


def _wait(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after that time. A zombie has ended, whoever fails to take its exit code."""
    deadline = time.monotonic() + seconds
    alive = list(processes)
    while (alive := [process for process in alive if _runs(process)]) and time.monotonic() < deadline:
        Event().wait(_POLL_SECONDS)
    return alive


def _runs(process: psutil.Process) -> bool:
    try:
        if not process.is_running():
            return False
        if process.status() != psutil.STATUS_ZOMBIE:
            return True
        os.waitpid(process.pid, os.WNOHANG)  # if it is our own child
    except (psutil.Error, ChildProcessError):
        pass
    return False


def _family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return [root]


def _sessions(leaders: Collection[int]) -> list[psutil.Process]:
    """Members of the sessions; a session's number cannot be given away while one of them lives."""
    members = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) in leaders and _runs(process := psutil.Process(pid)):
                members.append(process)
        except (OSError, psutil.Error):
            continue
    return members


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def _end_group(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_INTERRUPTED_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        pass
    _kill_group(process.pid)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
