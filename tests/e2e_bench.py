"""Whole labs, used by the command line as a person uses them, with a state folder of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import requests

LAB = Path(sys.executable).with_name("lab")
SECONDS = 150.0


class Ran:
    """What a command left: exit code, product, narration."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def data(self) -> Any:
        return json.loads(self.out)["data"]


class Bench:
    """`lab` with LAB_HOME and the current folder below one temporary folder."""

    def __init__(self, folder: Path, seconds: float = SECONDS) -> None:
        """seconds: how long a command may take."""
        self.folder = folder
        self.seconds = seconds
        self.home = folder / "home"
        self.results = folder / "results"
        self.env = {**os.environ, "LAB_HOME": str(self.home), "LAB_RESULTS": str(self.results)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command in a process group of its own, as a shell does."""
        return subprocess.Popen(
            [LAB, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.env,
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[str]) -> Ran:
        """What it left. One that takes too long is interrupted, and fails with what it has said."""
        try:
            out, err = process.communicate(timeout=self.seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=self.seconds)
            raise AssertionError(f"{process.args} has not ended within {self.seconds:g} s: {err}") from None
        return Ran(process.returncode, out, err)

    def done(self, *arguments: str) -> Ran:
        """Run a command that is to succeed."""
        ran = self.lab(*arguments)
        assert ran.code == 0, f"lab {' '.join(arguments)}: {ran.code} {ran.err}"
        return ran

    def lab(self, *arguments: str) -> Ran:
        return self.end(self.start(*arguments))

    def interrupt(self, number: signal.Signals, after: str, *arguments: str, times: int = 1) -> Ran:
        """Run a command and signal its group once a narrated line holds `after`; at once if it is empty."""
        process = self.start(*arguments)
        said = ""
        assert process.stderr is not None
        while after and after not in said:
            line = process.stderr.readline()
            assert line, f"it ended without saying {after!r}: {said}"
            said += line
        for _ in range(times):
            os.killpg(process.pid, number)
        ended = self.end(process)
        return Ran(ended.code, ended.out, said + ended.err)

    def candidate(self, name: str, program: str) -> str:
        """A workspace with that program."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "main.py").write_text(program)
        (folder / "automation.yaml").write_text(
            f"apiVersion: toil-lab/v1\nkind: Automation\nname: {name}\nruntime: python\nentrypoint: main.py\n"
        )
        return str(folder)

    def cluster_pid(self, name: str = "lab") -> int:
        return int(json.loads((self.home / "labs" / name / "provider.json").read_text())["pid"])

    def runs(self) -> list[str]:
        """Folders of graded runs."""
        return os.listdir(self.results) if self.results.is_dir() else []

    def processes(self) -> list[str]:
        """Every process that has this bench's folder in its command line, current folder or open files."""
        found = []
        for process in psutil.process_iter():
            try:
                places = [*process.cmdline(), process.cwd(), *(file.path for file in process.open_files())]
            except psutil.Error:
                continue
            if process.pid != os.getpid() and any(str(self.home) in place for place in places):
                found.append(f"{process.pid} {' '.join(process.cmdline())[:100]}")
        return found

    def left(self) -> list[str]:
        """Processes and folders of labs; nothing is to be left of a lab that is down."""
        labs = self.home / "labs"
        return self.processes() + (sorted(os.listdir(labs)) if labs.is_dir() else [])


def answered(url: str, **query: str) -> Any:
    """The JSON that a part answers; None while it does not, as when its pod is not ready for a moment."""
    try:
        found = requests.get(url, params=query, timeout=10)
        found.raise_for_status()
        return found.json()
    except requests.RequestException:
        return None


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait for a condition; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        threading.Event().wait(0.2)
    return value
