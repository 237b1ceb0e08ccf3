"""The real promtool, and rule files written where it can read them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.core.clock import TimeScale
from lab.localkube.images.launch import StartError
from lab.localkube.images.prometheus import find_prometheus
from lab.slo.rules import prometheus_config, rule_files


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


def write_configuration(folder: Path, scale: TimeScale) -> Path:
    """prometheus.yml and its rule files; the path of the former."""
    for name, text in rule_files(scale).items():
        (folder / name).write_text(text)
    path = folder / "prometheus.yml"
    path.write_text(prometheus_config(scale))
    return path


def run_promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [promtool(), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def check_rules(folder: Path, scale: TimeScale, tests: list[dict[str, Any]]) -> None:
    """Run promtool's unit tests on the lab's rules."""
    write_configuration(folder, scale)
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1s", "tests": tests}
    (folder / "tests.yml").write_text(yaml.safe_dump(document))
    done = run_promtool("test", "rules", folder / "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr
