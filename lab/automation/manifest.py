"""automation.yaml: what a candidate's program is and how to start it.

Read twice: on the host before the workspace is packaged, and in the pod. Light on purpose: the pod must
start quickly, so the checks are written out instead of drawing in a validation library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from lab.errors import ConfigError

FILE_NAME = "automation.yaml"
API_VERSION = "toil-lab/v1"
MAX_MANIFEST_BYTES = 64 * 1024

#: What the runner gives the program. automation.yaml must not set these.
RESERVED_ENV = frozenset(
    {
        "PATH",
        "HOME",
        "LANG",
        "KUBECONFIG",
        "PROMETHEUS_URL",
        "PAGER_URL",
        "TEXTFILE_DIR",
        "TMPDIR",
        "LAB_HOUR_SECONDS",
    }
)

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_KEYS = ("apiVersion", "kind", "name", "runtime", "entrypoint", "args", "every", "env", "shadowReads")


class ShadowReads(StrEnum):
    """What reads show while the automation is in shadow."""

    STORED = "stored"  # what is there
    INTENDED = "intended"  # what would be there, had it acted


class Runtime(StrEnum):
    """How the entry point is started."""

    PYTHON = "python"
    ANSIBLE = "ansible"
    EXECUTABLE = "executable"


@dataclass(frozen=True, slots=True)
class Automation:
    """A candidate's program. entrypoint: a path inside the workspace. every: real seconds between two runs of
    a playbook (ansible only, 0.2 to 3600). env: constants added to the program's environment.
    shadow_reads: what its reads show in shadow."""

    name: str
    runtime: Runtime
    entrypoint: str
    args: tuple[str, ...] = ()
    every: float = 2.0
    env: Mapping[str, str] = field(default_factory=dict)
    shadow_reads: ShadowReads = ShadowReads.STORED


def load_automation(workspace: Path) -> Automation:
    """Read and check `automation.yaml` of a workspace folder.

    Raises ConfigError with every problem found.
    """
    path = workspace / FILE_NAME
    hint = "docs/automation.md shows a complete automation.yaml"
    if not workspace.is_dir():
        raise ConfigError(f"{workspace} is not a folder", hint="give the folder that holds automation.yaml")
    if not path.is_file():
        raise ConfigError(f"{workspace} has no {FILE_NAME}", hint=hint)
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_MANIFEST_BYTES // 1024} KiB", hint=hint)
    automation, problems = parse_automation(_read_yaml(path))
    if automation is not None:
        problems += _entrypoint_problems(workspace, automation)
    if problems or automation is None:
        raise ConfigError(f"{path} is not valid", problems, hint=hint)
    return automation


def parse_automation(document: Any) -> tuple[Automation | None, list[str]]:
    """The automation that a decoded automation.yaml describes, and every problem in it (None when any)."""
    if not isinstance(document, dict):
        return None, [f"must be a mapping with the keys {', '.join(_KEYS)}"]
    problems = [
        f"unknown key {key!r}; the keys are {', '.join(_KEYS)}" for key in document if key not in _KEYS
    ]
    for key, wanted in (("apiVersion", API_VERSION), ("kind", "Automation")):
        if document.get(key) != wanted:
            problems.append(f"{key} must be {wanted}, not {document.get(key)!r}")
    values: dict[str, Any] = {}
    for key, check in _FIELDS.items():
        try:
            values[_FIELD_OF.get(key, key)] = check(document.get(key))
        except ValueError as error:
            problems.append(f"{key} {error}")
    return (Automation(**values) if not problems else None), problems


def _read_yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML", [" ".join(str(error).split())]) from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply to be an automation.yaml") from error


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 63 lower-case letters, digits and inner hyphens")
    return value


def _runtime(value: Any) -> Runtime:
    if not isinstance(value, str) or value not in list(Runtime):
        raise ValueError(f"must be one of {', '.join(Runtime)}, not {value!r}")
    return Runtime(value)


def _entrypoint(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must name a file of the workspace")
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\x00" in value:
        raise ValueError(f"must be a path inside the workspace, not {value!r}")
    return str(path)


def _args(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(_is_scalar(item) for item in value):
        raise ValueError("must be a list of strings and numbers")
    return tuple(_text(item) for item in value)


def _every(value: Any) -> float:
    if value is None:
        return 2.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.2 <= value <= 3600:
        raise ValueError("must be a number of real seconds between 0.2 and 3600")
    return float(value)


def _env(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(_is_scalar(item) for item in value.values()):
        raise ValueError("must map names to strings or numbers")
    for name in value:
        if not isinstance(name, str) or not _ENV_NAME.fullmatch(name):
            raise ValueError(f"has an impossible variable name {name!r}")
        if name in RESERVED_ENV:
            raise ValueError(f"must not set {name}: the runner gives it")
    return {name: _text(item) for name, item in value.items()}


def _shadow_reads(value: Any) -> ShadowReads:
    if value is None:
        return ShadowReads.STORED
    if not isinstance(value, str) or value not in list(ShadowReads):
        raise ValueError(f"must be one of {', '.join(ShadowReads)}, not {value!r}")
    return ShadowReads(value)


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "runtime": _runtime,
    "entrypoint": _entrypoint,
    "args": _args,
    "every": _every,
    "env": _env,
    "shadowReads": _shadow_reads,
}
_FIELD_OF = {"shadowReads": "shadow_reads"}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and "\x00" not in str(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _entrypoint_problems(workspace: Path, automation: Automation) -> list[str]:
    target = workspace / automation.entrypoint
    if not target.is_file():
        return [f"entrypoint {automation.entrypoint!r} is not a file of the workspace"]
    wanted = {Runtime.PYTHON: (".py",), Runtime.ANSIBLE: (".yml", ".yaml")}.get(automation.runtime)
    if wanted and target.suffix not in wanted:
        return [f"entrypoint of runtime {automation.runtime} must end in {' or '.join(wanted)}"]
    return []
