"""One cluster of kind, by its name: what kind and its engine are told, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lab.errors import LabError, ProviderError
from lab.process import RunError
from lab.providers.causes import PORT_TAKEN, explained
from lab.providers.commands import Commands
from lab.providers.kind_config import KindConfig
from lab.providers.kind_engines import CHOICE

CREATE_SECONDS = 900.0
"""For pulling the node image, too."""
READY_WAIT = "180s"
LOAD_SECONDS = 600.0
DELETE_SECONDS = 120.0
ASK_SECONDS = 30.0
PORT_ATTEMPTS = 3
DELETE_ATTEMPTS = 3


class KindCluster:
    """A cluster that is there, or is to be. Every failure is an error of the lab with the way out."""

    def __init__(self, commands: Commands, name: str, engine: str, kubeconfig: Path) -> None:
        """kubeconfig: the file that kind writes, never the user's own."""
        self._commands = commands
        self._name = name
        self._engine = engine
        self._kubeconfig = kubeconfig

    def start(self, config: KindConfig, again: Callable[[], KindConfig]) -> dict[int, int]:
        """Create it and return its ports. again: the configuration with other free ports.

        Between the look for a free port and its use there is a moment, in which somebody may be quicker.
        """
        path = self._kubeconfig.with_name("kind.yaml")
        for _ in range(PORT_ATTEMPTS - 1):
            path.write_text(config.text)
            try:
                self._create(path)
                return config.ports
            except RunError as error:
                if not PORT_TAKEN.search(error.output):
                    raise explained("creating the cluster", self._engine, error) from error
            self.remove()
            config = again()
        path.write_text(config.text)
        try:
            self._create(path)
        except RunError as error:
            raise explained("creating the cluster", self._engine, error) from error
        return config.ports

    def load(self, image: str) -> None:
        """Give the nodes an image that the engine has. Only Docker hands it over without a file."""
        try:
            if self._engine == "docker":
                self._kind(LOAD_SECONDS, "load", "docker-image", image, "--name", self._name)
                return
            archive = self._kubeconfig.with_name("image.tar")
            self._commands.run([self._engine, "save", "--output", str(archive), image], timeout=LOAD_SECONDS)
            self._kind(LOAD_SECONDS, "load", "image-archive", str(archive), "--name", self._name)
            archive.unlink(missing_ok=True)
        except RunError as error:
            raise explained("loading the image into the nodes", self._engine, error) from error

    def nodes(self) -> list[str]:
        """Its nodes, running or not."""
        try:
            return self._kind(ASK_SECONDS, "get", "nodes", "--name", self._name, cleanup=True).split()
        except RunError as error:
            raise explained("looking for the cluster's nodes", self._engine, error) from error

    def remove(self) -> None:
        """Delete it, and look that it is gone: after an interrupt a node may still be on its way."""
        left: list[str] = []
        try:
            for _ in range(DELETE_ATTEMPTS):
                words = ("--name", self._name, "--kubeconfig", str(self._kubeconfig))
                self._kind(DELETE_SECONDS, "delete", "cluster", *words, cleanup=True)
                left = self.nodes()
                if not left:
                    return
        except RunError as error:
            raise self._not_removed(explained("deleting the cluster", self._engine, error)) from error
        except LabError as error:
            raise self._not_removed(error) from error
        raise self._not_removed(ProviderError(f"nodes of the cluster are still there: {', '.join(left)}"))

    def log_tail(self, lines: int) -> str:
        """The last lines of the kubelet's log on the first node."""
        journal = ("journalctl", "--no-pager", "--lines", str(lines), "--unit", "kubelet")
        argv = [self._engine, "exec", f"{self._name}-control-plane", *journal]
        try:
            return self._commands.run(argv, timeout=ASK_SECONDS).stdout
        except RunError as error:
            return f"the node's log cannot be read: {error.message}"

    def _create(self, config: Path) -> None:
        named = ("--name", self._name, "--kubeconfig", str(self._kubeconfig))
        how = ("--config", str(config), "--wait", READY_WAIT, "--retain")
        self._kind(CREATE_SECONDS, "create", "cluster", *named, *how)

    def _not_removed(self, error: LabError) -> LabError:
        again = f"lab down tries again; by hand: kind delete cluster --name {self._name}"
        return type(error)(error.message, hint=f"{error.hint}; {again}" if error.hint else again)

    def _kind(self, timeout: float, *words: str, cleanup: bool = False) -> str:
        """What kind says. cleanup: an interrupt does not end it."""
        chosen = {CHOICE: self._engine}
        argv = ["kind", *words]
        return self._commands.run(argv, timeout=timeout, env=chosen, interruptible=not cleanup).stdout
