"""Judges saved evidence by an exercise's checks, in a process of its own.

An author's check can then neither disturb the lab command nor be disturbed by its plugins, and a saved run
can be judged again after a check has changed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from lab.core.exercise import Exercise
from lab.core.verdict import Axis, CheckResult, Severity, Verdict
from lab.errors import LabError
from lab.process import RunError, run

RESULTS_FILE = "checks.json"
TIMEOUT_SECONDS = 120.0


def judge(exercise: Exercise, evidence: Path) -> tuple[CheckResult, ...]:
    """The results of every check over a folder that holds one folder of evidence per group.

    Raises LabError when the checks themselves are broken.
    """
    results = evidence / RESULTS_FILE
    results.unlink(missing_ok=True)
    checks = exercise.folder / "checks"
    argv = [
        *(sys.executable, "-m", "pytest", "-p", "lab.grading.plugin", "-p", "no:cacheprovider"),
        *("-c", os.devnull, "--rootdir", str(checks), "--import-mode=importlib", "-q", "--no-header"),
        *("--lab-exercise", str(exercise.folder), "--lab-evidence", str(evidence)),
        *("--lab-results", str(results), str(checks)),
    ]
    env = os.environ | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    output = ""
    try:
        run(argv, timeout=TIMEOUT_SECONDS, env=env)
    except RunError as error:
        output = (
            error.output or error.message
        )  # failed checks end pytest with 1, and their results are written
    try:
        found = json.loads(results.read_text())
    except (OSError, ValueError) as error:
        raise LabError(
            f"the checks of {exercise.id} could not be run", hint="\n".join(output.strip().splitlines()[-12:])
        ) from error
    if not found:
        raise LabError(f"{exercise.id} has no checks", hint="\n".join(output.strip().splitlines()[-12:]))
    return tuple(check_result(item) for item in found)


def check_result(item: dict[str, Any]) -> CheckResult:
    """A result from its JSON form. Raises KeyError, TypeError or ValueError when it is not one."""
    return CheckResult(
        **{
            **item,
            "axis": Axis(item["axis"]),
            "verdict": Verdict(item["verdict"]),
            "severity": Severity(item["severity"]),
            "evidence": tuple(item["evidence"]),
        }
    )
