"""A graded run: every group on a lab of its own, side by side; then the checks over what they left.

results/<run>/evidence/<group>/…    what happened, kept
              evidence/checks.json  every check's result
              grade.json            the grade

An interrupted run leaves none of it.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from lab.automation.manifest import load_automation
from lab.automation.package import workspace_files
from lab.core.clock import SystemClock, rfc3339
from lab.core.exercise import Exercise, Group
from lab.core.places import results_home
from lab.core.verdict import Grade
from lab.engine.evidence import save
from lab.engine.scenario import BringUp, Cancelled, Progress, run_group
from lab.errors import ConfigError, LabError, UsageError
from lab.grading.finding import CLUSTER_LOG, ERROR_FILE
from lab.grading.judge import check_result, judge

GRADE_FILE = "grade.json"
EVIDENCE_FOLDER = "evidence"


def _silent(group: str, step: str) -> None:
    """No progress wanted."""


def grade(
    exercise: Exercise,
    workspace: Path,
    *,
    bring_up: BringUp,
    seed: int,
    only: Sequence[str] | None = None,
    parallel: bool = True,
    provider: str = "local",
    hour_seconds: float = 60.0,
    results: Path | None = None,
    on_progress: Progress = _silent,
) -> Grade:
    """Grade a workspace. only: ids of groups to run, the others' checks are skipped. results: the parent of
    the run's folder.

    Raises ConfigError for a broken workspace, UsageError for an unknown group, LabError when the checks
    cannot be run. A group that the lab could not run gives verdict error to its checks.
    """
    automation = load_automation(workspace)
    workspace_files(workspace.absolute())
    groups = select_groups(exercise, only)
    started = SystemClock().now()
    began = time.monotonic()
    folder = _new_folder(results or results_home(), _run_name(exercise, seed, started))
    evidence = folder / EVIDENCE_FOLDER

    def one(group: Group, cancelled: threading.Event) -> None:
        (evidence / group.id).mkdir()
        found = run_group(
            exercise,
            group,
            workspace,
            seed=seed,
            bring_up=bring_up,
            hour_seconds=hour_seconds,
            provider=provider,
            name=f"grade-{os.getpid()}-{group.id}"[:80],
            cancelled=cancelled,
            on_progress=on_progress,
            failure_log=evidence / group.id / CLUSTER_LOG,
        )
        save(replace(found, automation=automation.name), evidence / group.id)

    with _discarded_when_interrupted(folder):
        failures = _run_all(groups, one, parallel)
        _note(failures, evidence, on_progress)
        on_progress("checks", "judging")
        checks = judge(exercise, evidence)
    found = Grade(
        exercise=exercise.id,
        automation=automation.name,
        seed=seed,
        provider=provider,
        checks=checks,
        seconds=round(time.monotonic() - began, 1),
        run=folder.name,
        started_at=rfc3339(started),
        notes=tuple(f"group {identity}: {error.message}" for identity, error in failures.items()),
    )
    write_grade(found, folder)
    return found


@contextmanager
def _discarded_when_interrupted(folder: Path) -> Iterator[None]:
    """Without a grade, what was collected is of no use: an interrupted run leaves no folder."""
    try:
        yield
    except (KeyboardInterrupt, Cancelled):
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _note(failures: Mapping[str, LabError], evidence: Path, on_progress: Progress) -> None:
    """Leave the lab's failures where the judge finds them."""
    for identity, error in failures.items():
        (evidence / identity / ERROR_FILE).write_text(
            json.dumps({"message": error.message, "hint": error.hint})
        )
        on_progress(identity, f"failed: {error.message.splitlines()[0]}")


def regrade(exercise: Exercise, folder: Path) -> Grade:
    """Judge a kept run again. Raises ConfigError when the folder holds no run of this exercise."""
    former = load_grade(folder)
    if former.exercise != exercise.id:
        raise ConfigError(f"{folder} is a run of {former.exercise}, not of {exercise.id}")
    found = replace(former, checks=judge(exercise, folder / EVIDENCE_FOLDER))
    write_grade(found, folder)
    return found


def select_groups(exercise: Exercise, only: Sequence[str] | None) -> tuple[Group, ...]:
    """The groups to run. Raises UsageError naming the ones there are."""
    known = [group.id for group in exercise.groups]
    unknown = [identity for identity in only or () if identity not in known]
    if unknown:
        raise UsageError(f"{exercise.id} has no group {unknown[0]!r}", hint=f"there are: {', '.join(known)}")
    return tuple(group for group in exercise.groups if not only or group.id in only)


def write_grade(found: Grade, folder: Path) -> None:
    """Write grade.json atomically."""
    target = folder / GRADE_FILE
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(found), indent=1))
    temporary.replace(target)


def load_grade(folder: Path) -> Grade:
    """Read grade.json. Raises ConfigError when there is none."""
    try:
        data = json.loads((folder / GRADE_FILE).read_text())
        checks = tuple(check_result(item) for item in data.pop("checks"))
        return Grade(**{**data, "checks": checks, "notes": tuple(data["notes"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder} holds no grade", hint="lab grade keeps runs below results/") from error


def _run_name(exercise: Exercise, seed: int, started: datetime) -> str:
    return f"{started:%Y%m%d-%H%M%S}-{exercise.id}-{seed}-{os.getpid()}"


def _new_folder(parent: Path, name: str) -> Path:
    for attempt in range(100):
        folder = parent / (name if attempt == 0 else f"{name}-{attempt}")
        try:
            folder.mkdir(parents=True)
            (folder / EVIDENCE_FOLDER).mkdir()
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise ConfigError(
                f"results cannot be written to {parent}: {error.strerror}",
                hint="LAB_RESULTS names another folder",
            ) from error
    raise LabError(f"no free folder for results in {parent}")


def _run_all(
    groups: Sequence[Group], one: Callable[[Group, threading.Event], None], parallel: bool
) -> dict[str, LabError]:
    """Run all groups; the ones that the lab failed. An interrupt ends all of them and their labs first."""
    cancelled = threading.Event()
    with ThreadPoolExecutor(max_workers=len(groups) if parallel else 1, thread_name_prefix="group") as pool:
        futures: dict[str, Future[None]] = {group.id: pool.submit(one, group, cancelled) for group in groups}
        try:
            while wait_for(futures.values(), timeout=0.5).not_done:
                continue
        except BaseException:
            cancelled.set()
            for future in futures.values():
                future.cancel()
            raise
    failures: dict[str, LabError] = {}
    for identity, future in futures.items():
        error = future.exception()
        if isinstance(error, ConfigError | Cancelled):
            raise error
        if isinstance(error, LabError):
            failures[identity] = error
        elif error is not None:
            failures[identity] = LabError(f"{type(error).__name__}: {error}")
    return failures
