"""Images as the kubelet sees them: resolve a name, get a process specification, start it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from lab.core.places import data_root
from lab.errors import ConfigError
from lab.localkube.images.alertmanager import AlertmanagerRunner
from lab.localkube.images.launch import ContainerInput, Launch, Runner, UnknownImage
from lab.localkube.images.launcher import Launcher
from lab.localkube.images.postgres import PostgresRunner
from lab.localkube.images.programs import HostRunner, PythonRunner
from lab.localkube.images.prometheus import PrometheusRunner
from lab.localkube.images.table import Entry, Table, load_table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Image:
    """A resolved image: its runner and what the table says about it."""

    name: str
    runner: Runner
    entry: Entry

    def launch(self, container: ContainerInput) -> Launch:
        """The process that this container is. Raises StartError."""
        if self.entry.env:
            container = replace(container, env={**self.entry.env, **container.env})
        return self.runner.launch(container, self.entry.entrypoint, self.entry.cmd)


class Images:
    """The images of one cluster, read from a file that may change while the cluster runs.

    `launcher` starts the processes; `close` ends them all.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or data_root() / "clusters" / "local" / "images.yaml"
        self._table = load_table(self._path)
        self._stamp = self._path.stat().st_mtime_ns
        self._runners: dict[str, Runner] = {
            "python": PythonRunner(),
            "host": HostRunner(),
            "postgres": PostgresRunner(),
            "prometheus": PrometheusRunner(),
            "alertmanager": AlertmanagerRunner(),
        }
        self.launcher = Launcher(self._table.preload)

    def resolve(self, image: str) -> Image:
        """Find an image's runner. Raises UnknownImage. Reads the file again when it changed."""
        entry = self._current().find(image)
        return Image(image, self._runners[entry.runner], entry)

    def _current(self) -> Table:
        try:
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._table, self._stamp = load_table(self._path), stamp
        except (OSError, ConfigError) as error:
            log.warning("%s is not read again: %s", self._path, error)
        return self._table

    async def start(self) -> None:
        """Warm the process from which containers are forked, so that the first pod does not wait for it."""
        await self.launcher.start()

    async def close(self) -> None:
        """End every process of this cluster."""
        await self.launcher.close()


__all__ = ["Image", "Images", "UnknownImage"]
