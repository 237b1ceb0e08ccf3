"""images.yaml: names, patterns, and a file that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.places import data_root
from lab.errors import ConfigError
from lab.localkube.images.images import Images
from lab.localkube.images.launch import ContainerInput, StartError, UnknownImage
from lab.localkube.images.table import load_table, repository, tag


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("postgres", "postgres"),
        ("postgres:16.2", "postgres"),
        ("docker.io/library/postgres:16", "postgres"),
        ("registry.example:5000/you/tool:1@sha256:ab", "you/tool"),
        ("localhost/toil-lab:dev", "toil-lab"),
        ("prom/prometheus:v3", "prom/prometheus"),
        ("registry.k8s.io/pause:3.9", "pause"),
    ],
)
def test_an_image_is_read_without_registry_tag_and_digest(image: str, name: str) -> None:
    assert repository(image) == name


def test_the_tag_is_not_a_port() -> None:
    assert tag("registry:5000/postgres") == ""
    assert tag("registry:5000/postgres:18") == "18"


@pytest.mark.parametrize(
    "image", ["toil-lab", "toil-lab:1", "ghcr.io/you/toil-lab:2", "localhost:5000/toil-lab"]
)
def test_every_spelling_of_the_lab_image_is_python(image: str) -> None:
    table = load_table(data_root() / "clusters" / "local" / "images.yaml")
    assert table.find(image).runner == "python"


def test_an_unknown_image_says_what_to_add_and_where(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text("images: [{match: busybox, runner: host}]")
    with pytest.raises(UnknownImage, match=r'add to .*images\.yaml an entry such as \{match: \["acme/app"\]'):
        load_table(file).find("quay.io/acme/app:3")


def test_all_problems_of_a_file_are_reported(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text(
        "imagse: []\npreload: x\nimages:\n- {match: [a], runner: docker}\n- {runner: host, env: {a: 1}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_table(file)
    text = "\n".join(caught.value.problems)
    for part in ("imagse", "preload", "images[0].runner", "images[1].match", "images[1].env"):
        assert part in text


def test_a_file_that_is_no_yaml_is_a_config_error(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text("images: [")
    with pytest.raises(ConfigError, match="cannot read"):
        load_table(file)


async def test_a_changed_file_is_read_again_and_a_broken_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text("images: []")
    images = Images(file)
    with pytest.raises(UnknownImage):
        images.resolve("tool")
    file.write_text("images: [{match: tool, runner: host}]")
    assert images.resolve("tool").entry.runner == "host"
    file.write_text("images: {")
    assert images.resolve("tool").entry.runner == "host"


@pytest.mark.parametrize(
    ("image", "fields", "argv"),
    [
        ("busybox", {}, ("sh",)),
        ("busybox", {"args": ["sh", "-c", "echo hi"]}, ("sh", "-c", "echo hi")),
        ("busybox", {"command": ["sleep"], "args": ["9"]}, ("sleep", "9")),
        ("python:3.12", {"args": ["python", "-V"]}, ("python", "-V")),
        ("toil-lab", {"command": ["python", "-m", "lab.shop.api"]}, ("python", "-m", "lab.shop.api")),
        ("registry.k8s.io/pause:3.9", {"command": ["sh"]}, ("sh",)),
    ],
)
def test_command_and_args_replace_what_a_runtime_would(
    tmp_path: Path, image: str, fields: dict[str, list[str]], argv: tuple[str, ...]
) -> None:
    given = {"command": [], "args": [], "env": {}, "cwd": "/", "pod_ip": "127.9.1.1", "directory": tmp_path}
    launch = Images().resolve(image).launch(ContainerInput(image=image, **(given | fields)))
    assert launch.argv == argv


def test_pause_keeps_its_entrypoint_whatever_the_args(tmp_path: Path) -> None:
    container = ContainerInput("pause", [], ["ignored"], {}, "/", "127.9.1.1", tmp_path)
    launch = Images().resolve("pause").launch(container)
    assert launch.python
    assert launch.argv[:2] == ("python", "-c")
    assert launch.argv[3:] == ("ignored",)


def test_an_image_without_command_cannot_start(tmp_path: Path) -> None:
    file = tmp_path / "images.yaml"
    file.write_text("images: [{match: bare, runner: host}]")
    container = ContainerInput("bare", [], [], {}, "/", "127.9.1.1", tmp_path)
    with pytest.raises(StartError, match="no command specified"):
        Images(file).resolve("bare").launch(container)
