"""The steps of a Dockerfile, followed into a plain directory that stands for the image's root.

No engine and no root are needed. The base image is the machine's own Python; a stage's files lie at the same
paths as the final image's, so that a virtual environment may go from one to the other. Steps that need more
than a directory are not followed but refused.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

OWN = re.compile(r"(?<![\w.-])/(?=(?:opt|src)/)")
"""Where an absolute path of the image begins that the steps make."""


class StepFailed(Exception):
    """A RUN ended with an error; the text is what it said."""


@dataclass
class PlainImage:
    """What the steps made: files below `root`, and how a container of it starts."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    user: str = "0"
    workdir: str = "/"
    command: list[str] = field(default_factory=list)

    def place(self, text: str) -> str:
        """The text, with the image's own absolute paths below the root."""
        return OWN.sub(f"{self.root}/", text)

    def variables(self) -> dict[str, str]:
        """The environment of its containers, here."""
        return {name: self.place(value) for name, value in self.env.items()}


def steps(dockerfile: Path) -> list[tuple[str, str]]:
    """Instruction and value, in order, comments left out."""
    parser = DockerfileParser(fileobj=dockerfile.open("rb"))
    try:
        return [
            (step["instruction"], step["value"])
            for step in parser.structure
            if step["instruction"] != "COMMENT"
        ]
    finally:
        parser.fileobj.close()


def follow(dockerfile: Path, context: Path, folder: Path, outside: dict[str, str]) -> PlainImage:
    """Follow the steps into `folder`/image. outside: the environment of RUN before the Dockerfile's own.

    Raises StepFailed when a RUN fails.
    """
    stages: dict[str, Path] = {}
    image, name = PlainImage(folder / "image"), ""
    for instruction, value in steps(dockerfile):
        words = shlex.split(value)
        if instruction == "FROM":
            if image.root.exists():
                stages[name] = image.root.rename(folder / f"stage-{name}")
            image = PlainImage(folder / "image")
            image.root.mkdir()
            name = words[-1] if len(words) > 1 else ""
        elif instruction == "COPY":
            _copy(image, words, context, stages)
        elif instruction == "RUN":
            _run(image, value, outside)
        elif instruction == "ENV":
            image.env |= dict(word.split("=", 1) for word in words)
        elif instruction == "WORKDIR":
            image.workdir = value
            _below(image.root, value).mkdir(parents=True, exist_ok=True)
        elif instruction == "USER":
            image.user = value
        elif instruction == "CMD":
            image.command = json.loads(value)
        elif instruction != "ARG":
            raise AssertionError(f"a plain directory cannot follow {instruction} {value}")
    for stage in stages.values():
        shutil.rmtree(stage)
    return image


def _copy(image: PlainImage, words: list[str], context: Path, stages: dict[str, Path]) -> None:
    source = context
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")]
    *froms, to = words
    target = _below(image.root, os.path.join(image.workdir, to))
    for path in (_below(source, word) for word in froms):
        if path.is_dir() and source != context:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)  # no step takes it twice
        elif path.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, target, symlinks=True, ignore=ignore, dirs_exist_ok=True)
        else:
            into = target / path.name if to.endswith("/") else target
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, into)


def _run(image: PlainImage, command: str, outside: dict[str, str]) -> None:
    """pip's cache stands in for the download; modules are compiled when they are imported."""
    ran = subprocess.run(
        ["/bin/sh", "-c", image.place(command.replace("--no-cache-dir ", ""))],
        cwd=_below(image.root, image.workdir),
        env=outside | {"PIP_NO_COMPILE": "1", "PIP_RETRIES": "1"} | image.variables(),
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        raise StepFailed(f"RUN {command.split('&&')[0].strip()}: {(ran.stdout + ran.stderr).strip()[-2000:]}")


def _below(root: Path, path: str) -> Path:
    return root / os.path.normpath(path).lstrip("/")
