"""A cluster of its own for each lab, by kind: nodes are containers of Docker, Podman or nerdctl.

Every command goes through one seam (lab.providers.commands), in this order: look at kind and the engine,
build the image unless it is there, create the cluster with a kubeconfig of the lab's own, load the image.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.core.namespaces import PLAIN
from lab.core.places import data_root
from lab.errors import LabError, NotReadyError, ProviderError, UsageError
from lab.kube.kubeconfig import load_kubeconfig
from lab.process import RunError
from lab.providers.base import Capabilities, Cluster, Say, check_name, quiet
from lab.providers.causes import explained
from lab.providers.commands import Commands, HostCommands
from lab.providers.facts import facts_file, read_facts, write_facts
from lab.providers.guest import OLDEST_MINOR
from lab.providers.image import BUILD_SECONDS, build_command, build_variables, has_image, image_of
from lab.providers.kind_cluster import KindCluster
from lab.providers.kind_config import LOOPBACK, kind_config
from lab.providers.kind_engines import Engine, find_engine, unsuitable
from lab.providers.kind_tool import PINNED, install_hint, kind_version, shown
from lab.providers.registry import OWN_IMAGE, pinned_images
from lab.providers.way import close_way, forget_way, way

NODE_PORTS = {
    "lab-system/gateway:8443": 30443,
    "lab-system/gateway:8081": 30081,
    "lab-system/pager:8080": 30080,
    "lab-system/prometheus:9090": 30090,
    "lab-system/dashboard:8080": 30070,
}
"""Ports of Services that clusters/kind maps to this machine; the others are reached through the tunnel."""
MOST_OF_NAME = 32
"""A cluster's name is part of host names, and may have 50 characters."""


class KindProvider:
    """kind: a real Kubernetes in containers. What it keeps here: a kubeconfig and kind's configuration."""

    name = "kind"
    alone = True
    ready_seconds = 600.0
    capabilities = Capabilities(
        service_addresses_reachable=False,
        memory_limits=True,
        network_policy=True,
        node_loss=False,
        isolated_processes=True,
    )

    def __init__(self, image: str = "", node_image: str = "", commands: Commands | None = None) -> None:
        """image: for the lab's own pods, by default one that is built. node_image: of the nodes, by default
        the one that clusters/kind names."""
        self._image = image
        self._node_image = node_image
        self._commands = commands or HostCommands()

    def check(self) -> None:
        self._look(None)

    def create(
        self, directory: Path, *, nodes: int = 1, hour_seconds: float = 60.0, say: Say = quiet
    ) -> Cluster:
        check_name(directory.name)
        name = cluster_name(directory)
        config = kind_config(nodes, self._node_image)
        engine = self._look(config.minor)
        if read_facts(directory) is not None:
            self.delete(directory)  # of a command that was killed, or a cluster that was stopped
        image, load = self._prepare_image(engine, say)
        home = directory / "cluster"
        home.mkdir(parents=True, exist_ok=True)
        kubeconfig = home / "admin.kubeconfig"
        facts: dict[str, Any] = {"kubeconfig": str(kubeconfig), "cluster": name, "engine": engine.name}
        cluster = self._cluster(facts)
        if cluster.nodes():
            say("what is left of an earlier cluster")
            cluster.remove()
        write_facts(directory, facts)
        say("kind: nodes and control plane")
        ports = cluster.start(config, lambda: kind_config(nodes, self._node_image))
        server = _server(kubeconfig)
        if load:
            say("the image, into the nodes")
            cluster.load(image)
        mapped = {service: ports[port] for service, port in NODE_PORTS.items() if port in ports}
        facts |= {"server": server, "ports": json.dumps(mapped)}
        write_facts(directory, facts)
        images = pinned_images() | {OWN_IMAGE: image}
        return Cluster(self.name, kubeconfig, server, facts, True, images=images, node_ports=NODE_PORTS)

    def find(self, directory: Path) -> Cluster | None:
        facts = read_facts(directory)
        if facts is None or "server" not in facts or not _answers(str(facts["server"])):
            return None
        return Cluster(self.name, Path(facts["kubeconfig"]), str(facts["server"]), facts, True)

    def address(self, directory: Path, service: str, cluster_ip: str, port: int) -> str:
        mapped = json.loads((read_facts(directory) or {}).get("ports", "{}"))
        if f"{service}:{port}" in mapped:
            return f"{LOOPBACK}:{mapped[f'{service}:{port}']}"
        return way(directory, service, port, PLAIN)

    def delete(self, directory: Path) -> None:
        facts = read_facts(directory)
        if facts is not None:
            close_way(directory)
            self._cluster(facts).remove()
        shutil.rmtree(directory / "cluster", ignore_errors=True)
        facts_file(directory).unlink(missing_ok=True)
        forget_way(directory)

    def belongings(self, directory: Path) -> list[str]:
        return []

    def log_tail(self, directory: Path, lines: int = 20) -> str:
        facts = read_facts(directory)
        if facts is None:
            return ""
        return self._cluster(facts).log_tail(lines)

    def _cluster(self, facts: dict[str, Any]) -> KindCluster:
        engine, kubeconfig = str(facts["engine"]), Path(facts["kubeconfig"])
        return KindCluster(self._commands, str(facts["cluster"]), engine, kubeconfig)

    def _look(self, minor: int | None) -> Engine:
        """The engine, if it and kind can do what is wanted. minor: of Kubernetes in the nodes."""
        version = kind_version(self._commands)
        if version < PINNED and not self._node_image:
            raise NotReadyError(
                f"kind {shown(version)} is older than the node image of the lab, which is of {shown(PINNED)}",
                hint=f"{install_hint(self._commands)}; or name an image of its own release with --node-image",
            )
        if minor is not None and minor < OLDEST_MINOR:
            raise UsageError(f"the node image has Kubernetes 1.{minor}, and the lab needs 1.{OLDEST_MINOR}")
        engine = find_engine(self._commands, os.environ)
        if trouble := unsuitable(engine, minor):
            raise trouble
        return engine

    def _prepare_image(self, engine: Engine, say: Say) -> tuple[str, bool]:
        """The image for the lab's own pods, and whether it is here to be loaded into the nodes."""
        image = self._image or image_of(data_root())
        try:
            here = has_image(self._commands, engine.name, image)
            if not here and not self._image:
                say("the lab's image, which takes some minutes once")
                self._commands.run(
                    build_command(engine.name, image, data_root()),
                    timeout=BUILD_SECONDS,
                    env=build_variables(),
                )
                here = True
        except RunError as error:
            raise explained("building the lab's image", engine.name, error) from error
        return image, here


def cluster_name(directory: Path) -> str:
    """kind's name for the cluster of the lab in that folder: no other folder's lab has it."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", directory.name.lower())[:MOST_OF_NAME].strip("-")
    digest = f"{zlib.crc32(str(directory).encode()):08x}"
    return "-".join(filter(None, ("toil-lab", cleaned, digest)))


def _server(kubeconfig: Path) -> str:
    try:
        return load_kubeconfig(kubeconfig).server
    except (OSError, LabError) as error:
        raise ProviderError(f"kind left no kubeconfig that can be used: {error}") from error


def _answers(server: str) -> bool:
    """Whether something listens where the API server was."""
    parts = urlsplit(server)
    try:
        with socket.create_connection((parts.hostname or LOOPBACK, parts.port or 443), timeout=2.0):
            return True
    except OSError:
        return False
