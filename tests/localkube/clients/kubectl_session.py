"""Runs the real kubectl, of any release that the machine has, in one namespace of a cluster."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

MINORS = ("1.30", "1.31", "1.32", "1.33")
every_minor = pytest.mark.parametrize("kubectl", MINORS, indirect=True)
conforms = partial(pytest.mark.conforms, client="kubectl")
oldest_and_newest = pytest.mark.parametrize("kubectl", [MINORS[0], MINORS[-1]], indirect=True)


@dataclass(frozen=True)
class Kubectl:
    """One user of a cluster: called with a command's arguments it gives what the command prints."""

    binary: Path
    kubeconfig: Path
    namespace: str
    home: Path

    def __call__(self, *arguments: str, stdin: str = "", editor: str = "") -> str:
        """Standard output of a command that must succeed."""
        done = self.run(*arguments, stdin=stdin, editor=editor)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def refused(self, *arguments: str, stdin: str = "", editor: str = "") -> str:
        """What a command that must fail says on standard error."""
        done = self.run(*arguments, stdin=stdin, editor=editor)
        assert done.returncode != 0, (arguments, done.stdout, done.stderr)
        return done.stderr

    def run(self, *arguments: str, stdin: str = "", editor: str = "") -> subprocess.CompletedProcess[str]:
        """Any command, to its end. editor: the shell command that edits a file for `kubectl edit`."""
        return subprocess.run(
            self._command(arguments),
            input=stdin,
            text=True,
            capture_output=True,
            timeout=90,
            env=self._environment(editor),
        )

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on; it is ended with the block, if it has not ended by itself."""
        process = subprocess.Popen(
            self._command(arguments),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment(""),
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def until(self, *arguments: str, shows: str, seconds: float = 60) -> str:
        """Ask again until the output matches a regular expression; the output that did."""
        deadline, pause = time.monotonic() + seconds, threading.Event()
        while True:
            done = self.run(*arguments)
            if done.returncode == 0 and re.search(shows, done.stdout, re.MULTILINE):
                return done.stdout
            assert time.monotonic() < deadline, (arguments, shows, done.stdout, done.stderr)
            pause.wait(0.2)

    def first_line(self, process: subprocess.Popen[str], *stir: str, seconds: float = 60) -> str:
        """The first line of a watch that may be only beginning; until it comes, the command `stir` is run
        again and again, with a number for `{}`."""
        said: list[str] = []

        def read() -> None:
            assert process.stdout is not None
            said.append(process.stdout.readline())

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        deadline = time.monotonic() + seconds
        for attempt in itertools.count():
            self(*(word.format(attempt) for word in stir))
            reader.join(0.3)
            if not reader.is_alive():
                return said[0]
            assert time.monotonic() < deadline, stir
        raise AssertionError

    def field(self, what: str, path: str) -> str:
        """A field of an object, such as `deploy/web` and `.spec.replicas`."""
        return self("get", what, "-o", f"jsonpath={{{path}}}")

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        place = [] if arguments[0] == "config" else ["-n", self.namespace]
        return [str(self.binary), *place, *arguments]

    def _environment(self, editor: str) -> dict[str, str]:
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "KUBE_EDITOR": editor or "false",
        }


def cells(table: str) -> list[list[str]]:
    """The lines of a table, each as its cells; a cell may hold single spaces."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]
