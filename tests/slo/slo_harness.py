"""Rule files written where the real promtool can read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from promtool import run_promtool

from lab.core.clock import TimeScale
from lab.slo.rules import prometheus_config, rule_files


def write_configuration(folder: Path, scale: TimeScale) -> Path:
    """prometheus.yml and its rule files; the path of the former."""
    for name, text in rule_files(scale).items():
        (folder / name).write_text(text)
    path = folder / "prometheus.yml"
    path.write_text(prometheus_config(scale))
    return path


def check_rules(folder: Path, scale: TimeScale, tests: list[dict[str, Any]]) -> None:
    """Run promtool's unit tests on the lab's rules."""
    write_configuration(folder, scale)
    document = {"rule_files": ["rules.yml"], "evaluation_interval": "1s", "tests": tests}
    (folder / "tests.yml").write_text(yaml.safe_dump(document))
    done = run_promtool("test", "rules", folder / "tests.yml")
    assert done.returncode == 0, done.stdout + done.stderr
