"""Container engines that kind works with: which one is here, whether it answers, and whether it is enough.

The order is kind's own (docker, nerdctl or finch, podman), and so is the variable that chooses another one.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.errors import LabError, NotReadyError, UsageError
from lab.process import RunError
from lab.providers.commands import Commands

ENGINES = ("docker", "nerdctl", "finch", "podman")
CHOICE = "KIND_EXPERIMENTAL_PROVIDER"
INFO_SECONDS = 20.0
LAST_MINOR_OF_CGROUP_1 = 34
"""Kubernetes 1.35 took the support for cgroup v1 away."""
_ADVICE = ("Run '", "To see the stack trace")
ROOTLESS_PAGE = "https://kind.sigs.k8s.io/docs/user/rootless/"


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine that answers. cgroup: 1 or 2. delegated: it can limit memory, processes and
    processor shares. folder: where it keeps images and containers, on its own host."""

    name: str
    version: str
    rootless: bool
    cgroup: int
    delegated: bool
    folder: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}, {'rootless, ' if self.rootless else ''}cgroup v{self.cgroup}"


def find_engine(commands: Commands, environment: Mapping[str, str]) -> Engine:
    """The engine that kind is to use: the one chosen by variable, or the first in order that answers.

    Raises UsageError for an unknown choice, NotReadyError when none is installed or none answers.
    """
    chosen = environment.get(CHOICE, "")
    if chosen and chosen not in ENGINES:
        raise UsageError(
            f"{CHOICE} is {chosen!r}, and kind knows no such engine", hint=f"it knows: {', '.join(ENGINES)}"
        )
    installed = [name for name in ((chosen,) if chosen else ENGINES) if commands.find(name)]
    if not installed:
        wanted = chosen or "any of docker, nerdctl, finch and podman"
        raise NotReadyError(
            f"kind needs a container engine, and {wanted} is not installed",
            hint=f"{_install_hint()}; the embedded provider (lab up) needs none",
        )
    silent: list[NotReadyError] = []
    for name in installed:
        try:
            return ask_engine(commands, name)
        except NotReadyError as error:
            silent.append(error)
    raise silent[0]


def ask_engine(commands: Commands, name: str) -> Engine:
    """What the engine of that name says of itself. Raises NotReadyError when it does not answer."""
    wanted = "json" if name == "podman" else "{{json .}}"
    try:
        said = commands.run([name, "info", "--format", wanted], timeout=INFO_SECONDS).stdout
        info = json.loads(said)
    except RunError as error:
        raise not_answering(name, last_line(error.output) or error.message) from error
    except ValueError as error:
        raise not_answering(name, f"its answer is not JSON: {error}") from error
    if trouble := "; ".join(info.get("ServerErrors") or ()):
        raise not_answering(name, trouble)
    return _of_podman(info) if name == "podman" else _of_docker(name, info)


def not_answering(name: str, said: str) -> NotReadyError:
    """The error for an engine that is installed and does not answer."""
    if "permission denied" in said.lower():
        return NotReadyError(
            f"{name} is there, but you may not use it: {said}",
            hint=f"sudo usermod -aG {name} $USER, then log in again; or use a rootless engine",
        )
    return NotReadyError(f"the engine of {name} does not answer: {said}", hint=_start_hint(name))


def last_line(output: str) -> str:
    """The line of a program's output that says what is wrong: its last that is no advice."""
    lines = [line.strip().removeprefix("Command Output: ") for line in output.splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith(_ADVICE)), "")


def unsuitable(engine: Engine, minor: int | None = None) -> LabError | None:
    """Why kind cannot work with that engine, or None. minor: of Kubernetes in the nodes, if it is known."""
    if engine.rootless and engine.cgroup != 2:
        return NotReadyError(
            f"{engine.name} is rootless on cgroup v1, and kind needs cgroup v2 there",
            hint=f"{ROOTLESS_PAGE} says how a system gets it",
        )
    if engine.rootless and not engine.delegated:
        return NotReadyError(
            f"{engine.name} is rootless and may not limit memory, processes or processor shares",
            hint=f"systemd has to delegate them (Delegate=yes): {ROOTLESS_PAGE}",
        )
    if minor is not None and minor > LAST_MINOR_OF_CGROUP_1 and engine.cgroup == 1:
        return NotReadyError(
            f"{engine.name} runs on cgroup v1, and Kubernetes 1.{minor} on cgroup v2 only",
            hint="boot the host with cgroup v2, or choose --node-image with Kubernetes "
            f"1.{LAST_MINOR_OF_CGROUP_1} or earlier",
        )
    return None


def _of_docker(name: str, info: Mapping[str, Any]) -> Engine:
    limits = ("MemoryLimit", "PidsLimit", "CPUShares")
    options = [part for option in info.get("SecurityOptions") or () for part in option.split(",")]
    return Engine(
        name,
        str(info.get("ServerVersion") or "of an unknown version"),
        "name=rootless" in options,
        2 if str(info.get("CgroupVersion")) == "2" else 1,
        info.get("CgroupDriver") != "none" and all(info.get(limit) for limit in limits),
        str(info.get("DockerRootDir") or ""),
    )


def _of_podman(info: Mapping[str, Any]) -> Engine:
    host = info.get("host") or {}
    version = str((info.get("version") or {}).get("Version") or "of an unknown version")
    return Engine(
        "podman",
        version,
        bool((host.get("security") or {}).get("rootless")),
        2 if host.get("cgroupVersion") == "v2" else 1,
        {"memory", "pids", "cpu"} <= set(host.get("cgroupControllers") or ()),
        str((info.get("store") or {}).get("graphRoot") or ""),
    )


def _install_hint() -> str:
    if platform.system() == "Darwin":
        return "brew install --cask docker, or brew install podman && podman machine init"
    return "https://docs.docker.com/engine/install/, or your system's package podman"


def _start_hint(name: str) -> str:
    if platform.system() == "Darwin":
        return "podman machine start" if name == "podman" else "start Docker Desktop: open -a Docker"
    starts = {"docker": "sudo systemctl start docker", "podman": "podman info says more"}
    return starts.get(name, "sudo systemctl start containerd")
