"""The one seam through which providers run programs of this machine: kind, and container engines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Protocol

from lab.process import Completed, run


class Commands(Protocol):
    """What runs programs. A program's arguments are a list, never shell text."""

    def find(self, program: str) -> str | None:
        """Where the program is installed, or None."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        interruptible: bool = True,
    ) -> Completed:
        """Run it to its end, at most `timeout` seconds. env: variables besides those of this process.
        interruptible: an interrupt of the command ends it.

        Raises lab.process.RunError when it cannot start, fails or takes too long.
        """


class HostCommands:
    """Those of this machine."""

    def find(self, program: str) -> str | None:
        return shutil.which(program)

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        interruptible: bool = True,
    ) -> Completed:
        return run(argv, timeout=timeout, env={**os.environ, **(env or {})}, interruptible=interruptible)
