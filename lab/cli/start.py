"""The entry point of the `lab` command: ready for an interrupt before anything slow is imported."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run one command and end the process with its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(130))  # nothing has been started yet
    from lab.cli import app

    app.main(sys.argv[1:])
