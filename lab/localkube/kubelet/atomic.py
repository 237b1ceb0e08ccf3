"""A directory of files that changes all at once, as upstream's atomic writer lays it out.

    key -> ..data/key        ..data -> ..4f1c        ..4f1c/key

A reader sees all files of one version; the switch is one rename.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = "..data"


@dataclass(frozen=True, slots=True)
class File:
    """One file's bytes and permission bits."""

    data: bytes
    mode: int = 0o644


def write_directory(directory: Path, files: Mapping[str, File], mode: int = 0o755) -> bool:
    """Make the directory hold exactly these files (names may have subdirectories); False when it did."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(mode)
    current = directory / DATA
    if current.exists() and _same(current, files):
        return False
    version = directory / f"..{secrets.token_hex(4)}"
    version.mkdir(mode=0o755)
    for name, file in files.items():
        path = version / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode)
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), file.mode)
            handle.write(file.data)
    previous = current.resolve() if current.is_symlink() else None
    draft = directory / "..draft"
    draft.symlink_to(version.name)
    os.replace(draft, current)
    _link(directory, {Path(name).parts[0] for name in files})
    if previous is not None:
        shutil.rmtree(previous, ignore_errors=True)
    return True


def _same(current: Path, files: Mapping[str, File]) -> bool:
    present = {str(path.relative_to(current)): path for path in current.rglob("*") if path.is_file()}
    return present.keys() == files.keys() and all(
        path.read_bytes() == files[name].data for name, path in present.items()
    )


def _link(directory: Path, names: set[str]) -> None:
    for entry in directory.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        link = directory / name
        if not link.is_symlink() and not link.exists():
            link.symlink_to(f"{DATA}/{name}")
