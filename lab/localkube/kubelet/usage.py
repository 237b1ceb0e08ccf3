"""Memory and processor time of a container's processes, read from /proc (psutil where there is none)."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import psutil

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """cpu: seconds so far, with those of ended children. memory: bytes. processes: how many."""

    cpu: float = 0.0
    memory: int = 0
    processes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.memory + other.memory, self.processes + other.processes)


def tree_usage(pid: int) -> Usage:
    """What a process and all its descendants use; nothing when it is gone.

    Memory that several processes share (a database's buffers) counts once: private resident memory of each
    plus the largest shared part.
    """
    if sys.platform != "linux":
        return _portable(pid)
    cpu = 0.0
    private = shared = count = 0
    pending = [pid]
    while pending:
        present = pending.pop()
        try:
            with open(f"/proc/{present}/statm") as handle:
                _, resident, common, *_ = handle.read().split()
            with open(f"/proc/{present}/stat") as handle:
                fields = handle.read().rpartition(")")[2].split()
            for thread in os.listdir(f"/proc/{present}/task"):
                with open(f"/proc/{present}/task/{thread}/children") as handle:
                    pending += [int(word) for word in handle.read().split()]
        except (OSError, ValueError):
            continue
        count += 1
        cpu += sum(int(field) for field in fields[11:15]) / _TICKS
        private += int(resident) - int(common)
        shared = max(shared, int(common))
    return Usage(cpu, (private + shared) * _PAGE, count)


def _portable(pid: int) -> Usage:
    total = Usage()
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            times = process.cpu_times()
            total += Usage(times.user + times.system, process.memory_info().rss, 1)
    except psutil.Error:
        pass
    return total
