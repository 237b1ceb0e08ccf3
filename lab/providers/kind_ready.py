"""Whether kind could be used here, at the price of a look: no program is started."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

LOOK_SECONDS = 0.2


def kind_is_ready(environment: Mapping[str, str]) -> bool:
    """Whether kind is installed and the socket of a container engine accepts connections."""
    if shutil.which("kind", path=environment.get("PATH")) is None:
        return False
    return any(_listens(path) for path in _sockets(environment))


def _sockets(environment: Mapping[str, str]) -> Iterator[Path]:
    """Where engines listen: what DOCKER_HOST says, or the usual places of Docker and Podman."""
    said = environment.get("DOCKER_HOST", "")
    if said:
        if said.startswith("unix://"):
            yield Path(said.removeprefix("unix://"))
        return
    yield Path("/var/run/docker.sock")
    yield Path("/run/podman/podman.sock")
    if home := environment.get("HOME"):
        yield Path(home, ".docker", "run", "docker.sock")
    if own := environment.get("XDG_RUNTIME_DIR"):
        yield from (Path(own, "docker.sock"), Path(own, "podman", "podman.sock"))


def _listens(path: Path) -> bool:
    if not os.path.exists(path):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(LOOK_SECONDS)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
