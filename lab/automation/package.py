"""A workspace folder as a ConfigMap, and back.

A ConfigMap is flat and its keys are narrow, so a path is escaped: `/` and every byte that a key may not hold
becomes `_xHH`, and a real `_x` becomes `_x5fx`. A plain file name stays as it is. The way back never writes
outside its target.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from lab.automation.manifest import Automation, Runtime, load_automation
from lab.errors import ConfigError

MAX_BYTES = 1024 * 1024
MAX_FILES = 500
MAX_KEY = 253

_IGNORED_NAMES = frozenset({"__pycache__", "node_modules", "venv", "artifacts"})
_IGNORED_SUFFIXES = (".pyc", ".pyo", "~", ".swp")
_UNSAFE = re.compile(rb"_x|[^-.A-Za-z0-9_]")
_ESCAPE = re.compile(r"_x([0-9a-f]{2})")


def encode_key(path: str) -> str:
    """The ConfigMap key of a relative path."""
    return _UNSAFE.sub(_escape, path.encode()).decode()


def _escape(match: re.Match[bytes]) -> bytes:
    found = match[0]
    return b"_x5fx" if found == b"_x" else f"_x{found[0]:02x}".encode()


def decode_key(key: str) -> str:
    """The relative path of a key. Raises ValueError when it leads out of the workspace."""
    data = bytearray()
    position = 0
    for match in _ESCAPE.finditer(key):
        data += key[position : match.start()].encode() + bytes([int(match[1], 16)])
        position = match.end()
    data += key[position:].encode()
    path = data.decode()
    parts = path.split("/")
    if PurePosixPath(path).is_absolute() or any(part in ("", ".", "..") for part in parts) or "\x00" in path:
        raise ValueError(f"{key!r} is not a path inside a workspace")
    return path


def workspace_files(workspace: Path) -> dict[str, Path]:
    """Every file that is part of the automation, by its path relative to the workspace.

    Left out: hidden files, caches and virtual environments. Raises ConfigError for links, special files,
    too many or too large files.
    """
    files: dict[str, Path] = {}
    problems: list[str] = []
    total = 0
    for path, found in _walk(workspace):
        relative = path.relative_to(workspace).as_posix()
        if stat.S_ISLNK(found.st_mode):
            problems.append(f"{relative} is a symbolic link; copy the file instead")
        elif not stat.S_ISREG(found.st_mode):
            problems.append(f"{relative} is not a regular file")
        elif len(encode_key(relative)) > MAX_KEY:
            problems.append(f"{relative[:60]}… is too long a path (at most {MAX_KEY} characters)")
        else:
            files[relative] = path
            total += found.st_size
        if len(files) > MAX_FILES:
            problems.append(f"more than {MAX_FILES} files")
            break
    if total > MAX_BYTES:
        largest = sorted(files, key=lambda name: -files[name].stat().st_size)[:3]
        problems.append(
            f"{total / MAX_BYTES:.1f} MiB in all, at most 1 MiB fits a ConfigMap; "
            f"largest: {', '.join(largest)}"
        )
    if problems:
        raise ConfigError(
            f"{workspace} cannot be packaged",
            problems,
            hint="keep data and dependencies out of the workspace",
        )
    return files


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        if (
            entry.name.startswith(".")
            or entry.name in _IGNORED_NAMES
            or entry.name.endswith(_IGNORED_SUFFIXES)
        ):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))
        else:
            yield Path(entry.path), entry.stat(follow_symlinks=False)


def package(workspace: Path) -> tuple[Automation, dict[str, Any]]:
    """The automation of a workspace folder, and the ConfigMap `automation/workspace` that carries it.

    Raises ConfigError with every problem found.
    """
    workspace = workspace.absolute()
    automation = load_automation(workspace)
    data: dict[str, str] = {}
    binary: dict[str, str] = {}
    for relative, path in workspace_files(workspace).items():
        content = path.read_bytes()
        try:
            data[encode_key(relative)] = content.decode()
        except UnicodeDecodeError:
            binary[encode_key(relative)] = base64.b64encode(content).decode()
    if encode_key(automation.entrypoint) not in data | binary:
        raise ConfigError(
            f"the entry point {automation.entrypoint} is left out of the package",
            hint="it is a link, hidden, or in an ignored folder",
        )
    config_map: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "workspace", "namespace": "automation"},
        "data": data,
    }
    return automation, config_map | ({"binaryData": binary} if binary else {})


def unpack(source: Path, target: Path) -> Automation:
    """Copy a mounted ConfigMap into the writable folder `target` and return the automation in it.

    Files that start with `#!`, and the entry point of an executable, become executable.
    Raises ConfigError when a key is not a path or automation.yaml is wrong.
    """
    target.mkdir(parents=True, exist_ok=True)
    for entry in sorted(source.iterdir()):
        if entry.name.startswith(".") or not entry.is_file():
            continue
        try:
            relative = decode_key(entry.name)
        except ValueError as error:
            raise ConfigError(f"the workspace ConfigMap has a bad key: {error}") from error
        destination = target / relative
        destination.parent.mkdir(parents=True, exist_ok=True)
        content = entry.read_bytes()
        destination.write_bytes(content)
        destination.chmod(0o700 if content.startswith(b"#!") else 0o600)
    automation = load_automation(target)
    if automation.runtime is Runtime.EXECUTABLE:
        (target / automation.entrypoint).chmod(0o700)
    return automation
