"""The `postgres` image: PostgreSQL of the embedded wheel, with the official image's variables.

Variables: POSTGRES_PASSWORD (needed unless POSTGRES_HOST_AUTH_METHOD=trust), POSTGRES_USER (postgres),
POSTGRES_DB (the user's name), PGDATA. It listens on the pod's address, port 5432, and asks for a password
(SCRAM). A volume at or above /var/lib/postgresql/data holds the data; otherwise they live as long as the pod.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence

from lab.localkube.images.launch import ContainerInput, Launch
from lab.localkube.images.postgres_install import find_install
from lab.localkube.images.programs import base_environment
from lab.localkube.images.table import tag

DEFAULT_DATA = "/var/lib/postgresql/data"


class PostgresRunner:
    """Starts `lab.localkube.images.postgres_start` in the container, which becomes the server."""

    def launch(self, container: ContainerInput, entrypoint: Sequence[str], cmd: Sequence[str]) -> Launch:
        install = find_install(tag(container.image))
        env = base_environment(container) | dict(container.env)
        env["PATH"] = f"{install.bin}:{env['PATH']}"
        env.setdefault("PGHOST", container.pod_ip)
        given = container.command
        if given and given[0].rpartition("/")[2] != "postgres":
            return Launch((*given, *container.args), env, container.cwd)
        data = env.get("PGDATA") or str(container.locate(DEFAULT_DATA) or container.directory / "pgdata")
        env["PGDATA"] = data
        arguments = [*given[1:], *container.args]
        if arguments[:1] == ["postgres"]:
            arguments = arguments[1:]
        argv = (
            "python",
            "-m",
            "lab.localkube.images.postgres_start",
            str(install.major),
            container.pod_ip,
            *arguments,
        )
        return Launch(argv, env, container.cwd, python=True, stop_signal=signal.SIGINT)
