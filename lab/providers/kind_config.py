"""kind's cluster configuration: the file of the lab, with free ports of this machine."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import Any

import yaml

from lab.core.places import data_root
from lab.errors import ConfigError, UsageError

FILES = {1: "one.yaml", 3: "three.yaml"}
LOOPBACK = "127.0.0.1"
_TAG = re.compile(r":v1\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class KindConfig:
    """What kind is given. ports: the port in the node to the port of this machine. minor: of Kubernetes 1.x
    in the nodes, as the image's tag says, or None."""

    text: str
    ports: dict[int, int]
    minor: int | None


def kind_config(nodes: int, node_image: str = "") -> KindConfig:
    """The configuration for so many nodes. node_image: instead of the one in the file.

    Raises UsageError for another number of nodes, ConfigError for a file that is none.
    """
    if nodes not in FILES:
        raise UsageError(f"--nodes {nodes}: on kind a lab has 1 node or 3")
    path = data_root() / "clusters" / "kind" / FILES[nodes]
    try:
        config: dict[str, Any] = yaml.safe_load(path.read_text())
        machines = config["nodes"]
        mappings = [mapping for machine in machines for mapping in machine.get("extraPortMappings") or ()]
        for machine in machines:
            machine["image"] = node_image or machine["image"]
        for mapping, free in zip(mappings, _free_ports(len(mappings)), strict=True):
            mapping["hostPort"] = mapping.get("hostPort") or free
        ports = {int(mapping["containerPort"]): int(mapping["hostPort"]) for mapping in mappings}
        tag = _TAG.search(machines[0]["image"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no configuration of kind: {error}") from error
    return KindConfig(yaml.safe_dump(config, sort_keys=False), ports, int(tag[1]) if tag else None)


def _free_ports(count: int) -> list[int]:
    """So many ports on which nothing listens just now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
