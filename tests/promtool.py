"""The real promtool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lab.localkube.images.launch import StartError
from lab.localkube.images.prometheus import find_prometheus


def promtool() -> str:
    """The promtool beside the Prometheus of the lab, or on PATH; skips when there is none."""
    try:
        beside = find_prometheus().resolve().with_name("promtool")
        if beside.exists():
            return str(beside)
    except StartError:
        pass
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (it comes with Prometheus)")
    return found


def run_promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [promtool(), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
