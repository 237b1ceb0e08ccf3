"""The Docker engine, as far as a cluster in a container needs it: what goes wrong there, in the lab's words.

`docker` and `testcontainers` are optional, and imported when a container is wanted.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, Self

import yaml

from lab.core import interrupt
from lab.errors import LabError, NotReadyError, ProviderError

K3S_IMAGE = "rancher/k3s:v1.33.6-k3s1"
"""What runs where the variable LAB_K3S_IMAGE names no other."""
SOCKET = "unix:///var/run/docker.sock"
READY_LINE = b"Node controller sync successful"
"""What k3s logs once its node takes pods; testcontainers waits for the same."""
READY_SECONDS = 180.0
IMPORT = ("ctr", "-n", "k8s.io", "images", "import", "-")
_CHUNK = 1024 * 1024
_PRIVILEGED = "a privileged container, which k3s needs"
_REFUSED = "an engine that is itself confined refuses such ones; the provider local needs no container"


class Engine:
    """A connection to the engine that DOCKER_HOST or the default socket leads to."""

    def __init__(self) -> None:
        """Raises NotReadyError when no engine answers, or when the client for it is not installed."""
        try:
            import docker
            import docker.errors
        except ImportError as error:
            raise NotReadyError(
                f"the Python module {error.name} is not installed, which talks to Docker",
                hint="pip install 'toil-lab[k3s]' installs it",
            ) from error
        try:
            _knock(os.environ.get("DOCKER_HOST") or SOCKET)
            self.client: Any = docker.from_env()
        except (docker.errors.DockerException, OSError) as error:
            raise NotReadyError(
                f"no Docker engine answers: {_reason(error)}",
                hint="start Docker, or name its socket with DOCKER_HOST; the provider local needs none",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def has_image(self, reference: str) -> bool:
        """Whether the engine holds that image."""
        from docker.errors import ImageNotFound

        try:
            self.client.images.get(reference)
        except ImageNotFound:
            return False
        return True

    def is_running(self, container: str) -> bool:
        """Whether there is a container of that name, and it runs."""
        found = self._find(container)
        return found is not None and found.status == "running"

    def remove(self, container: str) -> None:
        """Remove a container with its volumes, running or not. Idempotent."""
        found = self._find(container)
        if found is not None:
            with _in_words("did not remove the container"):
                found.remove(force=True, v=True)

    def log_tail(self, container: str, lines: int) -> str:
        """The last lines of what a container said; none when it is not there."""
        found = self._find(container)
        return found.logs(tail=lines).decode(errors="replace").rstrip() if found is not None else ""

    def start_k3s(self, container: str, labels: Mapping[str, str], kubeconfig: Path) -> str:
        """Start a cluster and write the kubeconfig that leads to it (0600); the address of its API.

        Raises NotReadyError when its image is not to be had, ProviderError when it does not start.
        """
        image = os.environ.get("LAB_K3S_IMAGE") or K3S_IMAGE
        self._have(image)
        made = _k3s_class()
        with _settings(), _in_words(f"did not start {image} as {_PRIVILEGED}", hint=_REFUSED):
            k3s = made(image).with_name(container).with_kwargs(privileged=True, labels=dict(labels))
            if k3s.get_container_host_ip() == "localhost":  # else testcontainers' choice: all addresses
                k3s.ports = {str(made.KUBE_SECURE_PORT): ("127.0.0.1",)}
            try:
                k3s.start()
                text = k3s.config_yaml()
            finally:
                k3s.get_docker_client().client.close()
        descriptor = os.open(kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return str(yaml.safe_load(text)["clusters"][0]["cluster"]["server"])

    def carry_image(self, reference: str, container: str) -> None:
        """Bring an image of the engine into the containerd of a k3s. Raises ProviderError."""
        with _in_words(f"did not carry the image {reference} into k3s"):
            code, said = self.feed(container, IMPORT[:1], ())  # one that does not start reads nothing
            if not code:
                archive = self.client.images.get(reference).save(chunk_size=_CHUNK, named=True)
                code, said = self.feed(container, IMPORT, archive)
        if code:
            raise ProviderError(f"k3s did not take the image {reference}: {said}")

    def feed(self, container: str, command: Sequence[str], chunks: Iterable[bytes]) -> tuple[int, str]:
        """Run a command in a container with that as its standard input; its exit code and last line."""
        from docker.utils.socket import frames_iter

        api = self.client.api
        made = api.exec_create(container, list(command), stdin=True, stdout=True, stderr=True)
        stream = api.exec_start(made["Id"], socket=True)
        raw: socket.socket = getattr(stream, "_sock", stream)
        try:
            for chunk in chunks:
                interrupt.check()
                raw.sendall(chunk)
            raw.shutdown(socket.SHUT_WR)
            said = b"".join(data for _, data in frames_iter(stream, tty=False))
        finally:
            stream.close()
            raw.close()
        lines = said.decode(errors="replace").strip().splitlines()
        return int(api.exec_inspect(made["Id"])["ExitCode"]), lines[-1] if lines else ""

    def _have(self, image: str) -> None:
        from docker.errors import DockerException

        if self.has_image(image):
            return
        try:
            self.client.images.pull(image)
        except DockerException as error:
            raise NotReadyError(
                f"the image {image} is not there and cannot be pulled: {_reason(error)}",
                hint=f"docker pull {image}, or name one that is there with LAB_K3S_IMAGE",
            ) from error

    def _find(self, container: str) -> Any:
        from docker.errors import NotFound

        try:
            return self.client.containers.get(container) if container else None
        except NotFound:
            return None


def _knock(host: str) -> None:
    """Raise OSError when nobody listens on that socket; the client leaves its own open then."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(host.removeprefix("unix://"))


def _k3s_class() -> Any:
    """testcontainers' k3s, whose wait can be interrupted and ends when the container does."""
    try:
        from testcontainers.community.k3s import K3SContainer
    except ImportError as error:
        raise NotReadyError(
            "testcontainers 4.15 or later is not installed", hint="pip install 'toil-lab[k3s]' installs it"
        ) from error

    class Interruptible(K3SContainer):
        def _connect(self) -> None:
            wait_ready(self.get_wrapped_container())

    return Interruptible


@contextmanager
def _settings() -> Iterator[None]:
    """testcontainers' settings for a container that outlives this process: no reaper, and ports of the
    engine's host, also where this process seems to be in a container itself, unless the user says otherwise.
    """
    from testcontainers.core.config import ConnectionMode, testcontainers_config

    before = (testcontainers_config.ryuk_disabled, testcontainers_config.connection_mode_override)
    testcontainers_config.ryuk_disabled = True
    testcontainers_config.connection_mode_override = before[1] or ConnectionMode.docker_host
    try:
        yield
    finally:
        testcontainers_config.ryuk_disabled, testcontainers_config.connection_mode_override = before


def wait_ready(container: Any) -> None:
    """Wait until k3s says that its node takes pods. Raises ProviderError when it ends or takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while READY_LINE not in container.logs():
        container.reload()
        ended = container.status not in ("created", "running")
        if ended or time.monotonic() > deadline:
            said = container.logs(tail=1).decode(errors="replace").strip()
            what = "ended while starting" if ended else f"was not ready within {READY_SECONDS:.0f} s"
            raise ProviderError(f"k3s {what}: {said}", hint="docker info shows whether the engine is well")
        interrupt.check()
        Event().wait(0.5)


@contextmanager
def _in_words(what: str, hint: str = "") -> Iterator[None]:
    """Say an error of the engine in a sentence: the engine, what it did not do, its reason."""
    from docker.errors import DockerException

    try:
        yield
    except LabError:
        raise
    except (DockerException, OSError) as error:
        raise ProviderError(f"the Docker engine {what}: {_reason(error)}", hint=hint) from error


def _reason(error: Exception) -> str:
    """The innermost thing that the engine, or the way to it, said."""
    return str(getattr(error, "explanation", None) or error).strip().splitlines()[-1]
