"""Memory and processor time of a container's processes, read from /proc (psutil where there is none).

Processor time is a total; a `Meter` makes a rate of it, from what the watch over limits reads anyway.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from dataclasses import dataclass

import psutil

from lab.core.clock import Clock
from lab.localkube.protocols import LONGEST_WINDOW, ContainerUsage

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


class Meter:
    """Remembers what one container used lately. A new process begins anew."""

    def __init__(self) -> None:
        self._process: object = None
        self._samples: deque[tuple[float, float]] = deque()
        self._newest: ContainerUsage | None = None

    def add(self, process: object, usage: Usage, clock: Clock) -> None:
        """Take in what a process and its descendants have used so far."""
        now = clock.monotonic()
        if process is not self._process:
            self._process = process
            self._samples.clear()
        while self._samples and now - self._samples[0][0] > LONGEST_WINDOW + 1:
            self._samples.popleft()
        self._samples.append((now, usage.cpu))
        self._newest = ContainerUsage(0.0, usage.memory, clock.now(), 0.0)

    def reading(self, process: object, window: float) -> ContainerUsage | None:
        """What the process uses, its processor time averaged over `window` seconds or what there is of them.

        None when it has not been measured twice. Children that vanish without their parent's waiting take
        their time with them: the rate is never below zero.
        """
        if process is not self._process or self._newest is None or len(self._samples) < 2:
            return None
        end, total = self._samples[-1]
        start, before = self._samples[-2]
        for at, cpu in self._samples:
            if end - at <= window:
                if at < start:
                    start, before = at, cpu
                break
        if end <= start:
            return None
        rate = max(0.0, total - before) / (end - start)
        return ContainerUsage(rate, self._newest.memory, self._newest.at, end - start)
