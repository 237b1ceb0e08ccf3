"""What a provider keeps about a lab's cluster, in the lab's folder, for the commands that come later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def facts_file(directory: Path) -> Path:
    """Where the facts of a lab are."""
    return directory / "provider.json"


def read_facts(directory: Path) -> dict[str, Any] | None:
    """The facts, or None when there are none that can be read."""
    try:
        return dict(json.loads(facts_file(directory).read_text()))
    except (OSError, ValueError):
        return None


def write_facts(directory: Path, facts: dict[str, Any]) -> None:
    """Write them whole or not at all."""
    temporary = facts_file(directory).with_suffix(".tmp")
    temporary.write_text(json.dumps(facts))
    temporary.replace(facts_file(directory))
