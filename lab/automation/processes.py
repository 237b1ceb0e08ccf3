"""The program's whole process tree: who is in it, what it uses, and how it ends.

A hostile program may leave its process group or orphan its children. The runner therefore makes itself the
reaper of its descendants (`PR_SET_CHILD_SUBREAPER`), so that on Linux nothing it started can escape it.
"""

from __future__ import annotations

import ctypes
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from lab.core.clock import Clock

_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its parent, and whether it is only waiting to be reaped."""

    pid: int
    parent: int
    zombie: bool


def become_subreaper() -> bool:
    """Adopt orphaned descendants. False where the kernel has no such thing."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


def descendants(root: int) -> list[Process]:
    """All processes below `root`, parents before children. Empty where /proc is missing."""
    children: dict[int, list[Process]] = {}
    try:
        pids = [int(name) for name in os.listdir(_PROC) if name.isdecimal()]
    except OSError:
        return []
    for pid in pids:
        process = _read(pid)
        if process is not None:
            children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    queue = [root]
    while queue:
        for process in children.get(queue.pop(0), []):
            found.append(process)
            queue.append(process.pid)
    return found


def _read(pid: int) -> Process | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text[text.rfind(")") + 2 :].split()  # the command name may hold spaces and brackets
    return Process(pid, int(fields[1]), fields[0] in "ZX")


def reap_orphans(keep: int | None) -> None:
    """Collect adopted children that ended. `keep` is the child that somebody else waits for."""
    me = os.getpid()
    for process in descendants(me):
        if process.zombie and process.parent == me and process.pid != keep:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                continue


def signal_tree(group: int | None, number: signal.Signals, keep: int | None) -> int:
    """Signal the group and every living descendant of this process; how many there were.

    `keep` is the child that somebody else waits for.
    """
    if group is not None:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            pass
    living = [process for process in descendants(os.getpid()) if not process.zombie]
    for process in living:
        try:
            os.kill(process.pid, number)
        except (ProcessLookupError, PermissionError):
            continue
    reap_orphans(keep)
    return len(living)


async def end_tree(group: int | None, clock: Clock, *, grace: float, keep: int | None = None) -> bool:
    """End everything this process started: TERM, up to `grace` real seconds, then KILL.

    `group` is the program's process group. Returns whether nothing is left.
    """
    deadline = clock.monotonic() + grace
    left = signal_tree(group, signal.SIGTERM, keep)
    while left and clock.monotonic() < deadline:
        await clock.sleep(0.05)
        reap_orphans(keep)
        left = sum(not process.zombie for process in descendants(os.getpid()))
    for _ in range(40):
        if not left:
            break
        signal_tree(group, signal.SIGSTOP, keep)  # a forking program must not outrun the KILL
        signal_tree(group, signal.SIGKILL, keep)
        await clock.sleep(0.05)
        reap_orphans(keep)
        left = sum(not process.zombie for process in descendants(os.getpid()))
    if group is not None and not _PROC.is_dir():
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    return not left
