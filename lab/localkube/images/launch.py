"""What a container turns into on this host, and the errors on the way there."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class UnknownImage(Exception):
    """No entry of images.yaml matches; the message says how to add one."""


class StartError(Exception):
    """The image is known and the container cannot start: no such program, a missing variable."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start. `python`: argv is Python's, run it in the forked interpreter.

    stop_signal: how it is asked to end. env: all its variables, nothing is inherited. cwd must exist.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    python: bool = False
    stop_signal: int = signal.SIGTERM


@dataclass(frozen=True, slots=True)
class ContainerInput:
    """A container as the kubelet resolved it: variables expanded, host names and mounted paths rewritten.

    directory: a private folder that lives as long as the pod. mounts: mountPath to real directory.
    kubeconfig: the file for the pod's ServiceAccount, if it mounts its token. rewrite: the same rewriting,
    for texts that a runner reads itself.
    """

    image: str
    command: Sequence[str]
    args: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    pod_ip: str
    directory: Path
    mounts: Mapping[str, Path] = field(default_factory=dict)
    kubeconfig: Path | None = None
    rewrite: Callable[[str], str] = str

    def locate(self, path: str) -> Path | None:
        """The real place of a path below one of the mounts, or None."""
        for mount in sorted(self.mounts, key=len, reverse=True):
            base = mount.rstrip("/")
            if path == base or path.startswith(base + "/"):
                rest = path[len(base) :].lstrip("/")
                return self.mounts[mount] / rest if rest else self.mounts[mount]
        return None


class Runner(Protocol):
    """Turns a container of one kind of image into a process. Registered by name in `images`."""

    def launch(self, container: ContainerInput, entrypoint: Sequence[str], cmd: Sequence[str]) -> Launch:
        """`entrypoint` and `cmd` are the image's. Raises StartError."""
