"""A graded run whose lab does not come up, and one on a whole lab."""

import contextlib
import functools
import os
import signal
import threading
from pathlib import Path

import pytest

from lab.catalog import exercise
from lab.core.verdict import Verdict
from lab.engine.lab import Lab
from lab.engine.scenario import Cancelled
from lab.engine.settings import LabSettings
from lab.errors import ConfigError, NotReadyError, UsageError
from lab.grading.run import _run_all, grade, load_grade

STUCK = exercise("stuck-workers")
PYTHON = STUCK.folder / "solutions" / "python"


def no_lab(settings: LabSettings) -> None:
    raise NotReadyError(f"no database for {settings.name}", hint="install one")


def test_lab_that_does_not_come_up_costs_nobody_points(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    found = grade(
        STUCK, PYTHON, bring_up=no_lab, seed=1, results=tmp_path, on_progress=lambda *step: seen.append(step)
    )
    assert found.verdict is Verdict.ERROR
    assert {check.verdict for check in found.checks} == {Verdict.ERROR}
    assert all("no database" in check.seen for check in found.checks)
    assert found.possible == 0
    assert len(found.notes) == 3
    assert load_grade(tmp_path / found.run) == found
    assert {group for group, _ in seen} == {"shadow", "live", "kill-switch", "checks"}


def test_broken_workspace_and_unknown_group_are_said_before_any_lab(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no automation\.yaml"):
        grade(STUCK, tmp_path, bring_up=no_lab, seed=1, results=tmp_path)
    with pytest.raises(UsageError, match="no group"):
        grade(STUCK, PYTHON, bring_up=no_lab, seed=1, only=["lve"], results=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_results_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        grade(STUCK, PYTHON, bring_up=no_lab, seed=1, results=tmp_path / "file" / "results")


def test_one_interrupted_group_ends_the_others() -> None:
    ended: list[str] = []

    def one(group, cancelled: threading.Event) -> None:
        if group.id == "shadow":
            raise Cancelled("interrupted")
        cancelled.wait(0.2)
        ended.append(group.id)

    with pytest.raises(Cancelled):
        _run_all(STUCK.groups, one, True)
    assert sorted(ended) == ["kill-switch", "live"]


@pytest.mark.parametrize("interrupt", [Cancelled("interrupted"), KeyboardInterrupt()], ids=repr)
def test_interrupted_run_leaves_no_folder(interrupt: BaseException, tmp_path: Path) -> None:
    def judged(group: str, step: str) -> None:
        if step == "judging":
            raise interrupt

    with pytest.raises(type(interrupt)):
        grade(STUCK, PYTHON, bring_up=no_lab, seed=1, results=tmp_path, on_progress=judged)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_lab_that_dies_in_the_middle_leaves_its_log_and_costs_nobody_points(tmp_path: Path) -> None:
    from lab.engine.bringup import bring_up

    labs: list[Lab] = []

    def up(settings: LabSettings) -> Lab:
        labs.append(bring_up(settings, throw_away=True))
        return labs[0]

    def kill(group: str, step: str) -> None:
        if step.startswith("lab minute") and labs[0].directory.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(labs[0].cluster.details["pid"]), signal.SIGKILL)

    found = grade(STUCK, PYTHON, bring_up=up, seed=1, only=["shadow"], results=tmp_path, on_progress=kill)
    judged = {c.verdict for c in found.checks if c.id.startswith("shadow.")}
    assert judged == {Verdict.ERROR}
    assert (tmp_path / found.run / "evidence" / "shadow" / "cluster.log").is_file()
    assert not labs[0].directory.exists()


@pytest.mark.slow
def test_reference_passes_on_whole_labs(tmp_path: Path) -> None:
    from lab.engine.bringup import bring_up

    found = grade(
        STUCK, PYTHON, bring_up=functools.partial(bring_up, throw_away=True), seed=11, results=tmp_path
    )
    assert [(c.id, c.verdict, c.seen) for c in found.checks if c.verdict is not Verdict.PASS] == []
    assert found.earned == 100
