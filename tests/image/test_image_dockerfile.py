"""The Dockerfile keeps to what its users count on; hadolint, in `make check`, sees to the rest."""

from __future__ import annotations

import shlex
from pathlib import Path

from dockerfile_steps import steps

from lab.core.places import data_root

DOCKERFILE = data_root() / "clusters" / "image" / "Dockerfile"


def final_stage(dockerfile: Path) -> list[tuple[str, str]]:
    found = steps(dockerfile)
    return found[max(place for place, (instruction, _) in enumerate(found) if instruction == "FROM") :]


def test_every_stage_stands_on_the_base_that_is_asked_for() -> None:
    found = steps(DOCKERFILE)
    assert found[0][0] == "ARG"
    name, _, default = found[0][1].partition("=")
    assert default.partition(":")[2] not in ("", "latest")
    bases = [value.split()[0] for instruction, value in found if instruction == "FROM"]
    assert set(bases) == {f"${{{name}}}"}


def test_the_image_runs_as_the_user_of_the_manifests_and_is_made_by_copies_alone() -> None:
    stage = final_stage(DOCKERFILE)
    users = [value for instruction, value in stage if instruction == "USER"]
    assert users == ["65532:65532"]
    assert {instruction for instruction, _ in stage} <= {"FROM", "COPY", "ENV", "USER", "WORKDIR", "CMD"}


def test_everything_that_is_copied_comes_into_the_build() -> None:
    """`.dockerignore` keeps out all that it does not name."""
    let_in = {
        line.removeprefix("!")
        for line in (data_root() / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copies = [shlex.split(value) for instruction, value in steps(DOCKERFILE) if instruction == "COPY"]
    sources = {word for words in copies if not words[0].startswith("--from=") for word in words[:-1]}
    assert sources
    assert {source.split("/")[0] for source in sources} <= let_in
    assert all((data_root() / source).exists() for source in sources)
