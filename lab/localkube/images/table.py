"""images.yaml: which runner starts which image."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.errors import ConfigError
from lab.localkube.images.launch import UnknownImage

RUNNERS = ("python", "host", "postgres", "prometheus", "alertmanager")
_KEYS = ("match", "runner", "entrypoint", "cmd", "env")


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of image. `entrypoint` and `cmd` are what a Dockerfile calls so; `env` its variables."""

    patterns: tuple[str, ...]
    runner: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """The whole file."""

    source: Path
    entries: tuple[Entry, ...]
    preload: tuple[str, ...] = ()

    def find(self, image: str) -> Entry:
        """The first entry that matches. Raises UnknownImage, which says how to add one."""
        name = repository(image)
        for entry in self.entries:
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in entry.patterns):
                return entry
        raise UnknownImage(
            f"no runner for image {image!r}: nothing is pulled on the local provider; add to {self.source} "
            f'an entry such as {{match: ["{name}"], runner: host}}'
        )


def repository(image: str) -> str:
    """The image's name without registry, tag, digest and the `library/` of Docker Hub."""
    name = image.partition("@")[0]
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        name = rest
    head, _, last = name.rpartition("/")
    last = last.partition(":")[0]
    name = f"{head}/{last}" if head else last
    return name.removeprefix("library/")


def tag(image: str) -> str:
    """The image's tag, or an empty string."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def load_table(path: Path) -> Table:
    """Read and check images.yaml. Raises ConfigError with every problem found."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}", [str(error)]) from error
    problems: list[str] = []
    if not isinstance(data, dict):
        raise ConfigError(f"{path} is not valid", ["a mapping with `images` is expected"])
    for key in sorted(set(data) - {"images", "preload"}):
        problems.append(f"{key}: not a known key (images, preload)")
    preload = _words(data.get("preload", []), "preload", problems)
    entries = []
    listed = data.get("images")
    if not isinstance(listed, list):
        problems.append("images: a list is expected")
        listed = []
    for index, item in enumerate(listed):
        entries.append(_entry(item, f"images[{index}]", problems))
    if problems:
        raise ConfigError(f"{path} is not valid", problems)
    return Table(path, tuple(entries), preload)


def _entry(item: Any, where: str, problems: list[str]) -> Entry:
    if not isinstance(item, dict):
        problems.append(f"{where}: a mapping is expected")
        return Entry((), "host")
    for key in sorted(set(item) - set(_KEYS)):
        problems.append(f"{where}.{key}: not a known key ({', '.join(_KEYS)})")
    patterns = item.get("match")
    match = _words([patterns] if isinstance(patterns, str) else patterns, f"{where}.match", problems)
    if not match:
        problems.append(f"{where}.match: at least one pattern is needed")
    runner = item.get("runner")
    if runner not in RUNNERS:
        problems.append(f"{where}.runner: {runner!r} is not one of {', '.join(RUNNERS)}")
    env = item.get("env", {})
    if not isinstance(env, dict) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in env.items()
    ):
        problems.append(f"{where}.env: a mapping of strings is expected")
        env = {}
    entrypoint, cmd = (_words(item.get(key, []), f"{where}.{key}", problems) for key in ("entrypoint", "cmd"))
    return Entry(match, str(runner), entrypoint, cmd, env)


def _words(value: Any, where: str, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        problems.append(f"{where}: a list of strings is expected")
        return ()
    return tuple(value)
