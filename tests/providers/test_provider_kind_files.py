"""The files that are handed to others: kind's configuration, the workflow, what the image is built of."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.core.places import data_root
from lab.errors import NotReadyError
from lab.providers.image import CONTENTS, image_of
from lab.providers.kind import NODE_PORTS
from lab.providers.kind_config import FILES, kind_config
from lab.providers.kind_ready import kind_is_ready
from lab.providers.kind_tool import PINNED, install_command, shown

KIND = data_root() / "clusters" / "kind"
WORKFLOW = data_root() / ".github" / "workflows" / "ci.yaml"
PINNED_NODE = re.compile(r"kindest/node:v1\.\d+\.\d+@sha256:[0-9a-f]{64}")
CLUSTER = {"kind": str, "apiVersion": str, "networking": dict, "nodes": list}
NODE = {"role": str, "image": str, "labels": dict, "extraPortMappings": list}
MAPPING = {"containerPort": int, "hostPort": int, "listenAddress": str, "protocol": str}
"""The fields of kind.x-k8s.io/v1alpha4 that the lab uses, and their types; kind refuses unknown ones."""


def held(value: dict[str, Any], fields: dict[str, type]) -> dict[str, Any]:
    assert {key: type(each) for key, each in value.items() if fields.get(key) is not type(each)} == {}
    return value


@pytest.mark.parametrize("nodes", FILES)
def test_the_configuration_is_kinds(nodes: int) -> None:
    for text in ((KIND / FILES[nodes]).read_text(), kind_config(nodes).text):
        cluster = held(yaml.safe_load(text), CLUSTER)
        assert (cluster["kind"], cluster["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
        assert held(cluster["networking"], {"apiServerAddress": str}) == {"apiServerAddress": "127.0.0.1"}
        assert [held(node, NODE)["role"] for node in cluster["nodes"]] == ["control-plane"] + ["worker"] * (
            nodes - 1
        )
        assert {bool(PINNED_NODE.fullmatch(node["image"])) for node in cluster["nodes"]} == {True}
        mappings = [held(mapping, MAPPING) for mapping in cluster["nodes"][0]["extraPortMappings"]]
        assert {mapping["listenAddress"] for mapping in mappings} == {"127.0.0.1"}
        assert sorted(mapping["containerPort"] for mapping in mappings) == sorted(NODE_PORTS.values())


def test_free_ports_are_chosen_and_another_kubernetes_is_taken() -> None:
    config = kind_config(3, "kindest/node:v1.35.8")
    assert len(set(config.ports.values())) == len(NODE_PORTS)
    assert min(config.ports.values()) > 0
    assert config.minor == 35
    assert {node["image"] for node in yaml.safe_load(config.text)["nodes"]} == {"kindest/node:v1.35.8"}
    assert kind_config(1).minor == 36


def test_mapped_services_are_in_the_manifests() -> None:
    found = {
        f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}:{port['port']}"
        for path in (data_root() / "clusters" / "base").rglob("*.yaml")
        for manifest in yaml.safe_load_all(path.read_text())
        if manifest and manifest["kind"] == "Service"
        for port in manifest["spec"]["ports"]
    }
    assert NODE_PORTS.keys() <= found


def test_the_image_is_named_by_what_is_copied_into_it(tmp_path: Path) -> None:
    dockerfile = (data_root() / "clusters" / "image" / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    assert {word.partition("/")[0] for line in copied for word in line.split()} == set(CONTENTS)
    for folder in ("lab", "clusters/image"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "clusters" / "image" / "Dockerfile").write_text("FROM scratch\n")
    first = image_of(tmp_path)
    (tmp_path / "lab" / "__pycache__").mkdir()
    (tmp_path / "lab" / "__pycache__" / "a.pyc").write_text("")
    assert image_of(tmp_path) == first
    (tmp_path / "lab" / "a.py").write_text("")
    assert image_of(tmp_path) != first
    with pytest.raises(NotReadyError, match="nothing to build the lab's image from"):
        image_of(tmp_path / "lab")


@pytest.mark.parametrize(
    ("system", "machine", "here", "command"),
    [
        ("Darwin", "arm64", {"brew": True}, "brew install kind"),
        ("Linux", "x86_64", {"go": True}, f"go install sigs.k8s.io/kind@{shown(PINNED)}"),
        (
            "Linux",
            "x86_64",
            {},
            f"curl -fLo kind https://kind.sigs.k8s.io/dl/{shown(PINNED)}/kind-linux-amd64 ",
        ),
        (
            "Linux",
            "aarch64",
            {},
            f"curl -fLo kind https://kind.sigs.k8s.io/dl/{shown(PINNED)}/kind-linux-arm64 ",
        ),
        (
            "Darwin",
            "arm64",
            {},
            f"curl -fLo kind https://kind.sigs.k8s.io/dl/{shown(PINNED)}/kind-darwin-arm64 ",
        ),
        ("Linux", "riscv64", {}, "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"),
    ],
)
def test_the_command_that_installs_kind(
    system: str, machine: str, here: dict[str, bool], command: str
) -> None:
    assert install_command(system, machine, **here).startswith(command)


def test_kind_is_ready_where_it_is_installed_and_an_engine_listens(tmp_path: Path) -> None:
    address = tmp_path / "docker.sock"
    here = {"PATH": str(tmp_path), "DOCKER_HOST": f"unix://{address}"}
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(address))
        engine.listen()
        assert not kind_is_ready(here)
        (tmp_path / "kind").write_text("#!/bin/sh\n")
        (tmp_path / "kind").chmod(0o755)
        assert kind_is_ready(here)
    assert not kind_is_ready(here)
    assert not kind_is_ready(here | {"DOCKER_HOST": "tcp://192.0.2.1:2375"})


def test_the_workflow_runs_what_there_is_with_pinned_parts() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z-]+):", (data_root() / "Makefile").read_text(), re.MULTILINE))
    jobs = workflow["jobs"].values()
    steps = [step for job in jobs for step in job["steps"]]
    ran = {word for step in steps for word in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    assert ran
    assert ran <= targets
    assert all(re.search(r"@v\d+\.\d+\.\d+$", step["uses"]) for step in steps if "uses" in step)
    assert all("timeout-minutes" in job for job in jobs)
    nodes = workflow["jobs"]["kind"]["strategy"]["matrix"]["node"]
    assert len(nodes) == 3
    assert all(PINNED_NODE.fullmatch(node) for node in nodes)
    assert workflow["jobs"]["kind"]["env"]["KIND"] == shown(PINNED)
