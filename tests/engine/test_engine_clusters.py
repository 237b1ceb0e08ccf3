"""What a cluster of its own changes in the manifests: images that its nodes have, ports that it maps."""

from __future__ import annotations

from typing import Any

from lab.core.places import data_root
from lab.engine import bringup
from lab.engine.settings import LabSettings
from lab.providers.base import LAB_LABEL
from lab.providers.kind import NODE_PORTS
from lab.providers.registry import pinned_images


def test_pods_run_what_is_there_and_mapped_services_are_of_nodes() -> None:
    folder = data_root() / "clusters"
    manifests = bringup.load_manifests(folder / "base", *(folder / "parts").glob("*.yaml"))
    types = {key(m): m["spec"].get("type", "ClusterIP") for m in manifests if m["kind"] == "Service"}
    images = pinned_images() | {"toil-lab": "localhost/toil-lab:1"}
    for manifest in manifests:
        bringup._sign(manifest, LabSettings("mine"), images)
        bringup._open_ports(manifest, NODE_PORTS)
    assert {m["metadata"]["labels"][LAB_LABEL] for m in manifests} == {"mine"}
    ran = {
        container["image"]
        for m in manifests
        if m["kind"] == "Deployment"
        for container in m["spec"]["template"]["spec"]["containers"]
    }
    assert set(images.values()) <= ran
    assert ran.isdisjoint(images)
    services = [m for m in manifests if m["kind"] == "Service"]
    opened = {
        f"{key(m)}:{port['port']}": port["nodePort"]
        for m in services
        for port in m["spec"]["ports"]
        if "nodePort" in port
    }
    assert opened == NODE_PORTS
    mapped = {name.rpartition(":")[0] for name in NODE_PORTS}
    assert {key(m): m["spec"].get("type", "ClusterIP") for m in services} == types | dict.fromkeys(
        mapped, "NodePort"
    )


def key(manifest: dict[str, Any]) -> str:
    return f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}"
