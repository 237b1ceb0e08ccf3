"""Following a Dockerfile into a plain directory: what each step leaves there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dockerfile_steps import PlainImage, StepFailed, follow

DOCKERFILE = """\
# two stages
ARG BASE=any:1
FROM ${BASE} AS build
WORKDIR /src
COPY a.txt more ./
RUN mkdir -p /opt/made \\
 && cat a.txt b.txt > /opt/made/both \\
 && echo "$PIP_RETRIES" >> /opt/made/both
FROM ${BASE}
COPY --from=build /opt/made /opt/made
COPY more /opt/data/more
ENV PATH=/opt/made:/usr/bin \\
    DATA=/opt/data
USER 65532:65532
WORKDIR /tmp
CMD ["both", "now"]
"""


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "more" / "__pycache__").mkdir(parents=True)
    (folder / "a.txt").write_text("a\n")
    (folder / "more" / "b.txt").write_text("b\n")
    return folder


def followed(context: Path, text: str) -> PlainImage:
    (context / "Dockerfile").write_text(text)
    folder = context.parent / "made"
    folder.mkdir()
    return follow(context / "Dockerfile", context, folder, {"PATH": os.environ["PATH"]})


def test_the_last_stage_remains_with_what_it_took_of_the_first(context: Path) -> None:
    image = followed(context, DOCKERFILE)
    files = {str(path.relative_to(image.root)) for path in image.root.rglob("*") if path.is_file()}
    assert files == {"opt/made/both", "opt/data/more/b.txt"}
    assert (image.root / "opt/made/both").read_text() == "a\nb\n1\n"
    assert os.listdir(context.parent / "made") == ["image"]
    assert (image.user, image.workdir, image.command) == ("65532:65532", "/tmp", ["both", "now"])
    assert image.variables() == {
        "PATH": f"{image.root}/opt/made:/usr/bin",
        "DATA": f"{image.root}/opt/data",
    }


def test_a_step_that_fails_says_what_it_said(context: Path) -> None:
    with pytest.raises(StepFailed, match="RUN echo no room: no room"):
        followed(context, "FROM a:1\nRUN echo no room && exit 1\n")


def test_a_step_that_needs_more_than_a_directory_is_refused(context: Path) -> None:
    with pytest.raises(AssertionError, match="cannot follow VOLUME /data"):
        followed(context, "FROM a:1\nVOLUME /data\n")
