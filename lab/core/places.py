"""Where things live on disk: the data folders of the project, the lab's state, cache, settings, results.

State, cache and settings follow the XDG base directory specification; `LAB_HOME`, `LAB_CACHE` and
`LAB_SETTINGS` override them.
Nothing here creates a directory.
"""

from __future__ import annotations

import os
from pathlib import Path


def data_root() -> Path:
    """The folder that holds clusters/, exercises/ and playbooks/ (`LAB_DATA` overrides it)."""
    override = os.environ.get("LAB_DATA")
    return Path(override) if override else Path(__file__).resolve().parents[2]


def state_home() -> Path:
    """Running labs and their logs."""
    override = os.environ.get("LAB_HOME")
    if override:
        return Path(override)
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "toil-lab"


def cache_home() -> Path:
    """What was fetched or prepared once and can be made again: Prometheus, the database template."""
    override = os.environ.get("LAB_CACHE")
    if override:
        return Path(override)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "toil-lab"


def settings_file() -> Path:
    """The user's settings; the file need not exist."""
    override = os.environ.get("LAB_SETTINGS")
    if override:
        return Path(override)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "toil-lab" / "settings.toml"


def results_home() -> Path:
    """Grades and reports, kept until the user removes them."""
    override = os.environ.get("LAB_RESULTS")
    return Path(override) if override else Path.cwd() / "results"
