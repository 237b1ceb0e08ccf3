"""The two plain runners: this Python, and programs of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import lab
from lab.localkube.images.launch import ContainerInput, Launch, StartError

BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_environment(container: ContainerInput) -> dict[str, str]:
    """What every container has whatever its image, and nothing of the host's: a PATH, its own home, UTF-8."""
    home = str(container.directory)
    return {"PATH": BASE_PATH, "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8"}


def full_command(container: ContainerInput, entrypoint: Sequence[str], cmd: Sequence[str]) -> tuple[str, ...]:
    """Kubernetes' rule: `command` replaces the image's ENTRYPOINT and drops its CMD, `args` replace its CMD.

    Raises StartError when nothing is left to run.
    """
    if container.command:
        entrypoint, cmd = container.command, ()
    full = (*entrypoint, *(container.args or cmd))
    if not full:
        raise StartError("no command specified")
    return full


class PythonRunner:
    """This Python and all that is installed with it; anything that is no Python is executed."""

    def launch(self, container: ContainerInput, entrypoint: Sequence[str], cmd: Sequence[str]) -> Launch:
        here = str(Path(sys.executable).parent)
        root = str(Path(lab.__file__).resolve().parents[1])
        base = base_environment(container) | {"PATH": f"{here}:{BASE_PATH}", "PYTHONPATH": root}
        argv = full_command(container, entrypoint, cmd)
        python = os.path.basename(argv[0]).startswith("python") and (
            "/" not in argv[0] or os.path.realpath(argv[0]) == os.path.realpath(sys.executable)
        )
        return Launch(argv, base | dict(container.env), container.cwd, python=python)


class HostRunner:
    """The command is one of this machine's programs, found by the usual PATH."""

    def launch(self, container: ContainerInput, entrypoint: Sequence[str], cmd: Sequence[str]) -> Launch:
        env = base_environment(container) | dict(container.env)
        return Launch(full_command(container, entrypoint, cmd), env, container.cwd)
