"""The processes that run for pods, on disk, so that the next kubelet can end what a dead one left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil

from lab.errors import ProviderError
from lab.process import is_running, kill_sessions, process_started, terminate


class ProcessLedger:
    """pid and start time of every container's first process, and of the process they are forked from."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._processes: dict[int, float] = {}

    def add(self, pid: int) -> None:
        """Note a process. One that has already ended is left out."""
        try:
            self._processes[pid] = process_started(pid)
        except ProviderError:
            return
        self._save()

    def remove(self, pid: int) -> None:
        """Forget a process that has ended."""
        if self._processes.pop(pid, None) is not None:
            self._save()

    def _save(self) -> None:
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps([{"pid": pid, "started": at} for pid, at in self._processes.items()]))
        os.replace(draft, self._file)

    def sweep(self) -> int:
        """End what the ledger on disk names and still runs, with all below; how many processes that were.

        Blocks for up to a few seconds when there is something to end.
        """
        try:
            entries = [(int(e["pid"]), float(e["started"])) for e in json.loads(self._file.read_text())]
        except (OSError, ValueError, KeyError, TypeError):
            entries = []
        swept = 0
        for pid, started in entries:
            if is_running(pid, started):
                swept += terminate(pid, started, grace=1.0)
            elif not psutil.pid_exists(pid):
                swept += kill_sessions([pid])
        self._processes.clear()
        self._save()
        return swept
