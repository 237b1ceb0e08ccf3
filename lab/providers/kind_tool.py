"""The program kind: whether it is here and recent enough, and how to get it on this system."""

from __future__ import annotations

import platform
import re

from lab.errors import NotReadyError
from lab.process import RunError
from lab.providers.commands import Commands

PINNED = (0, 33, 0)
"""The release whose node images clusters/kind names."""
OLDEST = (0, 27, 0)
"""Earlier ones cannot load images into nodes with containerd 2."""
_VERSION = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def install_command(system: str = "", machine: str = "", *, brew: bool = False, go: bool = False) -> str:
    """What to type to get kind. system, machine: as platform says, by default this one. brew, go: whether
    these programs are here."""
    system, machine = system or platform.system(), machine or platform.machine()
    if brew:
        return "brew install kind"
    if go:
        return f"go install sigs.k8s.io/kind@{shown(PINNED)}"
    architecture = _MACHINES.get(machine.lower())
    if system not in ("Linux", "Darwin") or architecture is None:
        return "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"
    release = f"https://kind.sigs.k8s.io/dl/{shown(PINNED)}/kind-{system.lower()}-{architecture}"
    return f"curl -fLo kind {release} && sudo install -m 755 kind /usr/local/bin/kind"


def install_hint(commands: Commands) -> str:
    """The same, for this machine."""
    return install_command(brew=commands.find("brew") is not None, go=commands.find("go") is not None)


def shown(version: tuple[int, ...]) -> str:
    """A version as kind writes it."""
    return "v" + ".".join(map(str, version))


def kind_version(commands: Commands) -> tuple[int, ...]:
    """The version of kind here. Raises NotReadyError when it is missing, older than OLDEST or broken."""
    if commands.find("kind") is None:
        raise NotReadyError("kind is not installed", hint=install_hint(commands))
    try:
        said = commands.run(["kind", "version"], timeout=20.0).stdout
    except RunError as error:
        raise NotReadyError(f"kind does not run: {error.message}", hint=install_hint(commands)) from error
    found = _VERSION.search(said)
    if found is None:
        raise NotReadyError(
            f"kind says no version that is understood: {said.strip()!r}", hint=install_hint(commands)
        )
    version = tuple(int(number) for number in found.groups())
    if version < OLDEST:
        raise NotReadyError(
            f"kind {shown(version)} is too old, and the lab needs {shown(OLDEST)}",
            hint=install_hint(commands),
        )
    return version
