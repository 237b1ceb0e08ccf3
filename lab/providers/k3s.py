"""A throw-away real cluster: k3s in one container of a Docker engine, by testcontainers.

The container is privileged, as k3s needs it. It outlives the command that started it, and so it is not
testcontainers' reaper (Ryuk) that removes it but the lab: it carries the lab's label and a name that follows
from the lab's folder, which is on record before the container is made.
"""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path
from typing import Any

from lab.core.namespaces import PLAIN
from lab.core.places import data_root
from lab.errors import NotReadyError, ProviderError, UsageError
from lab.process import RunError
from lab.providers.base import LAB_LABEL, Capabilities, Cluster, Say, check_name, quiet
from lab.providers.causes import explained
from lab.providers.commands import HostCommands
from lab.providers.engine import Engine
from lab.providers.facts import facts_file, read_facts, write_facts
from lab.providers.image import BUILD_SECONDS, build_command, build_variables, image_of
from lab.providers.registry import OWN_IMAGE, pinned_images
from lab.providers.way import close_way, forget_way, way


class K3sProvider:
    """A container with a cluster for each lab. Its image is pulled once, if it is not there."""

    name = "k3s"
    alone = True
    """Each lab has a cluster of its own; two at once are more than most machines carry."""
    ready_seconds = 300.0
    capabilities = Capabilities(
        service_addresses_reachable=False,
        memory_limits=True,
        network_policy=True,
        node_loss=False,
        isolated_processes=True,
    )

    def __init__(self, image: str = "") -> None:
        """image: what the lab's own pods run, by default one that is built; it goes into the cluster."""
        self._image = image

    def check(self) -> None:
        with Engine() as engine:
            if self._image and not engine.has_image(self._image):
                raise NotReadyError(
                    f"the Docker engine has no image {self._image}, which the lab's pods are to run",
                    hint="docker pull it, or leave --image out and the lab builds its own",
                )

    def create(
        self, directory: Path, *, nodes: int = 1, hour_seconds: float = 60.0, say: Say = quiet
    ) -> Cluster:
        if nodes != 1:
            raise UsageError("--nodes is for the local provider: k3s has one node")
        check_name(directory.name)
        self.check()
        self.delete(directory)
        image = self._prepare_image(say)
        home = directory / "cluster"
        home.mkdir(parents=True, exist_ok=True)
        kubeconfig = home / "admin.kubeconfig"
        container = container_name(directory)
        write_facts(directory, {"container": container, "kubeconfig": str(kubeconfig), "server": ""})
        try:
            with Engine() as engine:
                say("k3s: its image and its start")
                server = engine.start_k3s(container, {LAB_LABEL: directory.name}, kubeconfig)
                say("the image, into the cluster")
                engine.carry_image(image, container)
        except BaseException:
            self.delete(directory)
            raise
        facts: dict[str, str | int | float] = {
            "container": container,
            "kubeconfig": str(kubeconfig),
            "server": server,
        }
        write_facts(directory, facts)
        images = pinned_images() | {OWN_IMAGE: image}
        return Cluster(self.name, kubeconfig, server, facts, pod_network=True, images=images)

    def find(self, directory: Path) -> Cluster | None:
        facts = read_facts(directory)
        if facts is None or not facts.get("server"):
            return None
        try:
            with Engine() as engine:
                running = engine.is_running(str(facts["container"]))
        except NotReadyError:
            return None
        if not running:
            return None
        return Cluster(self.name, Path(facts["kubeconfig"]), str(facts["server"]), facts, pod_network=True)

    def address(self, directory: Path, service: str, cluster_ip: str, port: int) -> str:
        return way(directory, service, port, PLAIN)

    def delete(self, directory: Path) -> None:
        facts = read_facts(directory)
        if facts is not None:
            close_way(directory)
            with Engine() as engine:
                engine.remove(str(facts["container"]))
        shutil.rmtree(directory / "cluster", ignore_errors=True)
        facts_file(directory).unlink(missing_ok=True)
        forget_way(directory)

    def belongings(self, directory: Path) -> list[str]:
        return []

    def log_tail(self, directory: Path, lines: int = 20) -> str:
        facts: dict[str, Any] = read_facts(directory) or {}
        try:
            with Engine() as engine:
                return engine.log_tail(str(facts.get("container", "")), lines)
        except (NotReadyError, ProviderError):
            return ""

    def _prepare_image(self, say: Say) -> str:
        """The image for the lab's own pods, which the engine then has."""
        image = self._image or image_of(data_root())
        with Engine() as engine:
            if engine.has_image(image):
                return image
        say("the lab's image, which takes some minutes once")
        try:
            command = build_command("docker", image, data_root())
            HostCommands().run(command, timeout=BUILD_SECONDS, env=build_variables())
        except RunError as error:
            raise explained("building the lab's image", "docker", error) from error
        return image


def container_name(directory: Path) -> str:
    """The name of a lab's container: the lab's own, and a number for its folder."""
    return f"toil-lab-{directory.name}-{zlib.crc32(str(directory).encode()):08x}"
