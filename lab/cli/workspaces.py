"""Where a person's automations are: ./workspace/<exercise>, one folder each."""

from __future__ import annotations

from pathlib import Path

from lab.automation.manifest import FILE_NAME
from lab.errors import UsageError

HOME = Path("workspace")


def resolve(given: str) -> Path:
    """The workspace that is meant: a folder, an exercise's name, or, when nothing is given, the only one.

    Raises UsageError when there is none or it is not clear which.
    """
    if given:
        for folder in (Path(given), HOME / given):
            if (folder / FILE_NAME).is_file():
                return folder
        if Path(given).is_dir():
            raise UsageError(
                f"{given} has no {FILE_NAME}", hint="docs/automation.md says what one looks like"
            )
        raise UsageError(
            f"there is no workspace {given!r}", hint="lab start EXERCISE makes one; lab exercises lists them"
        )
    found = sorted(path.parent for path in HOME.glob(f"*/{FILE_NAME}"))
    if not found:
        raise UsageError(f"there is no workspace in ./{HOME}", hint="lab start stuck-workers makes one")
    if len(found) > 1:
        raise UsageError("there are several workspaces", hint="name one: " + ", ".join(p.name for p in found))
    return found[0]
