"""The `prom/alertmanager` image: the binary of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab.localkube.images.launch import ContainerInput, Launch, StartError
from lab.localkube.images.programs import base_environment

PROGRAMS = ("alertmanager", "prometheus-alertmanager")
"""Its names: upstream's, and Debian's."""


def find_alertmanager() -> Path:
    """The binary: LAB_ALERTMANAGER, then PATH. Raises StartError."""
    for candidate in (os.environ.get("LAB_ALERTMANAGER"), *(shutil.which(name) for name in PROGRAMS)):
        if candidate and os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return Path(candidate)
    raise StartError(
        "Alertmanager is not installed (Debian: apt-get install prometheus-alertmanager; macOS: brew install"
        " alertmanager), and LAB_ALERTMANAGER names no binary"
    )


class AlertmanagerRunner:
    """Executes Alertmanager with the container's arguments."""

    def launch(self, container: ContainerInput, entrypoint: Sequence[str], cmd: Sequence[str]) -> Launch:
        env = base_environment(container) | dict(container.env)
        given = [*container.command, *container.args]
        if given and not given[0].startswith("-"):
            if given[0].rpartition("/")[2] not in PROGRAMS:
                return Launch(tuple(given), env, container.cwd)
            given = given[1:]
        return Launch((str(find_alertmanager()), *given), env, container.cwd)
