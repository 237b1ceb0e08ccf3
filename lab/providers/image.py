"""The lab's own image, built from these very files, for clusters whose nodes get it from this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.errors import NotReadyError
from lab.process import RunError
from lab.providers.commands import Commands
from lab.version import __version__

REPOSITORY = "localhost/toil-lab"
"""A name that no node ever looks up elsewhere."""
DOCKERFILE = Path("clusters", "image", "Dockerfile")
CONTENTS = (
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "LICENSE",
    "lab",
    "clusters",
    "exercises",
    "playbooks",
)
"""What the Dockerfile copies."""
_ABSENT = ("no such image", "no such object", "image not known")
"""How Docker, nerdctl and Podman say so."""
BUILD_SECONDS = 1800.0
LOOK_SECONDS = 30.0


def image_of(root: Path) -> str:
    """The name of the image of these files: the same files, the same name. root: the lab's data folders.

    Raises NotReadyError where there is nothing to build from.
    """
    if not (root / DOCKERFILE).is_file() or not (root / "lab").is_dir():
        raise NotReadyError(
            f"there is nothing to build the lab's image from in {root}",
            hint="run from a clone, or name an image with --image",
        )
    digest = hashlib.sha256()
    for path in _files(root):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"{REPOSITORY}:{__version__}-{digest.hexdigest()[:12]}"


def has_image(commands: Commands, engine: str, image: str) -> bool:
    """Whether the engine has the image. Raises RunError when it does not answer."""
    try:
        commands.run([engine, "image", "inspect", "--format", "{{.Id}}", image], timeout=LOOK_SECONDS)
    except RunError as error:
        if any(words in error.output.lower() for words in _ABSENT):
            return False
        raise
    return True


def build_command(engine: str, image: str, root: Path) -> list[str]:
    """The command that builds it."""
    # The classic builder keeps the container of a failed step otherwise.
    tidy = ["--force-rm"] if engine == "docker" else []
    return [engine, "build", *tidy, "--tag", image, "--file", str(root / DOCKERFILE), str(root)]


def build_variables() -> Mapping[str, str]:
    """What is said to the builder by environment: an image of one platform, which nodes can be given."""
    return {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}


def _files(root: Path) -> Iterator[Path]:
    for name in CONTENTS:
        found = [root / name] if (root / name).is_file() else sorted((root / name).rglob("*"))
        yield from (path for path in found if path.is_file() and "__pycache__" not in path.parts)
