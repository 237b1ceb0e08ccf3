"""Kubeconfig files as kubectl reads them: one, or a list that is merged; paths in them are made absolute."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lab.errors import ConfigError, NotReadyError

_SECTIONS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_FILES = {"cluster": ("certificate-authority",), "user": ("client-certificate", "client-key", "tokenFile")}
NOT_ONE = (KeyError, TypeError, ValueError, AttributeError)
"""What using a document as a kubeconfig raises when it is none."""


def kubeconfig_paths(given: str | Path) -> list[Path]:
    """The files that are meant: an existing one, or those of a list as in KUBECONFIG, each once."""
    text = str(given)
    if os.pathsep not in text or Path(text).exists():
        return [Path(text)]
    return [Path(part).expanduser() for part in dict.fromkeys(text.split(os.pathsep)) if part]


def read_kubeconfig(given: str | Path) -> dict[str, Any]:
    """The file, or the files merged: what comes first counts, by name for clusters, contexts and users. Files
    of a list may be absent, though not all of them.

    Raises NotReadyError when none can be read, ConfigError for one that is no kubeconfig.
    """
    paths = kubeconfig_paths(given)
    merged: dict[str, Any] = {"current-context": ""} | {section: [] for section in _SECTIONS}
    found = 0
    for path in paths:
        try:
            text = path.read_text()
        except FileNotFoundError as error:
            if len(paths) > 1 and (found or path != paths[-1]):
                continue
            raise _unreadable(path, error) from error
        except OSError as error:
            raise _unreadable(path, error) from error
        except UnicodeDecodeError as error:
            raise not_a_kubeconfig(path, error) from error
        try:
            _merge(merged, _parse(text), path.absolute().parent)
        except NOT_ONE as error:
            raise not_a_kubeconfig(path, error) from error
        found += 1
    return merged


def not_a_kubeconfig(given: str | Path, error: Exception) -> ConfigError:
    """What to raise for a file, or a list, that cannot be used."""
    return ConfigError(f"{given} is not a kubeconfig that can be used: {error}")


def entry(config: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    """The cluster, context or user of that name. Raises ValueError when there is none."""
    for found in config[section]:
        if found["name"] == name:
            return dict(found[_SECTIONS[section]] or {})
    raise ValueError(f"{section} has no {name!r}")


def _merge(merged: dict[str, Any], config: dict[str, Any], folder: Path) -> None:
    merged["current-context"] = merged["current-context"] or config.get("current-context") or ""
    for section, inner in _SECTIONS.items():
        known = {found["name"] for found in merged[section]}
        for found in config.get(section) or ():
            if found["name"] in known:
                continue
            body = dict(found.get(inner) or {})
            for key in _FILES.get(inner, ()):
                if body.get(key):
                    body[key] = str(folder / str(body[key]))
            program = body.get("exec") or {}
            if os.sep in str(program.get("command") or ""):
                body["exec"] = program | {"command": str(folder / str(program["command"]))}
            merged[section].append({"name": found["name"], inner: body})


def _parse(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:
        import yaml  # only for files that others wrote; it costs start time

        try:
            return dict(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error


def _unreadable(path: Path, error: OSError) -> NotReadyError:
    return NotReadyError(
        f"cannot read the kubeconfig {path}: {error.strerror}", hint="name a file that exists; is the lab up?"
    )
