"""The kubectls of this machine, by their minor release."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

Kubectl = Callable[..., str]
"""Runs one with arguments; returns what it prints."""


OLDEST = 30
"""The oldest minor release of 1 that is promised to work."""


@cache
def installed() -> dict[str, Path]:
    """Minor release ("1.32") → program, oldest first: the kubectl on PATH, and those that lie beside it with
    their release in the name (kubectl.1.30), as Google's Cloud SDK installs several."""
    found = shutil.which("kubectl")
    if found is None:
        return {}
    own = Path(found).resolve()
    asked = subprocess.run(
        [own, "version", "--client", "-o", "json"], check=True, capture_output=True, timeout=60
    )
    version = json.loads(asked.stdout)["clientVersion"]
    known = {f"{version['major']}.{version['minor'].rstrip('+')}": own}
    known |= {path.name.removeprefix("kubectl."): path for path in own.parent.glob("kubectl.1.*")}
    numbers = {int(minor.partition(".")[2]): minor for minor in known}
    return {numbers[number]: known[numbers[number]] for number in sorted(numbers) if number >= OLDEST}


def both_ends() -> list[Path]:
    """Both ends of what is installed; skips the test when there is none."""
    newest = kubectl_program()
    return list(dict.fromkeys([next(iter(installed().values())), newest]))


def kubectl_program(minor: str = "") -> Path:
    """The kubectl of a minor release, or the newest; skips the test when it is not installed."""
    found = installed()
    if not found or (minor and minor not in found):
        pytest.skip(f"kubectl {minor} is not installed".replace("  ", " "))
    return found[minor] if minor else list(found.values())[-1]
