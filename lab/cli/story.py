"""demo: the whole story once, with the first exercise's reference automation."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from lab import catalog
from lab.cli import exercises as exercise_commands
from lab.cli import lifecycle
from lab.cli.grading import run_grade, show
from lab.cli.options import DEFAULT_NAME, Json, Name, Seed
from lab.cli.output import OUTPUT
from lab.core.audit import Mode
from lab.core.verdict import Verdict
from lab.engine import bringup, observe
from lab.engine import lab as labs
from lab.engine.clients import wait_until
from lab.engine.settings import LabSettings
from lab.engine.shadow import shadow_report
from lab.errors import CheckFailed, DeadlineExceeded
from lab.grading.dossier import REPORT_FILE, publish
from lab.reports.text import grade_table, ledger_table, scorecard_table, shadow_table

EXERCISE = "stuck-workers"
SEEN_MINUTES = 25.0
"""Lab minutes within which the reference has named, or cured, a hang."""


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(demo)


def demo(
    name: Name = DEFAULT_NAME,
    solution: Annotated[str, typer.Option("--solution", help="python or ansible.")] = "python",
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Lab up, the reference automation from shadow to live, its grade, and a report to open."""
    exercise = catalog.exercise(EXERCISE)
    source = exercise_commands.starting_point(exercise.id, solution)
    lab = _lab(name, seed)
    OUTPUT.text(
        f"1. lab {lab.name!r} is up: a shop whose workers hang, its monitoring, a pager, an on-call human"
    )
    lab.run_automation(source, Mode.SHADOW, by="lab demo")
    hang = lab.faults.inject("hung-workers")[0]
    where = hang["target"]
    OUTPUT.text(f"2. worker {where['name']} hangs; the automation watches in shadow mode")
    _wait(lambda: bool(lab.gateway.intents()), lab, "the automation did not name the hung worker")
    show(shadow_table(shadow_report(observe.observe(lab)).as_dict()))
    lab.set_mode(Mode.LIVE, by="lab demo", reason="its intents were right")
    OUTPUT.text("3. the automation goes live")
    _wait(lambda: _cured(lab, str(hang["id"])), lab, "the hung worker was not restarted")
    entry = next(e for e in lab.faults.journal() if e["id"] == hang["id"])
    OUTPUT.text(
        f"   hung at {entry['appliedAt'][11:19]}, healed at {entry['undoneAt'][11:19]} by {entry['undoneBy']}"
    )
    lab.stop_automation()
    lab.set_mode(Mode.SHADOW, by="lab demo", reason="default")
    OUTPUT.text("4. the grade: every group on a fresh lab of its own, with real damage")
    grade, folder = run_grade(exercise, source, seed=seed)
    journal = publish(exercise, grade, folder)
    show(grade_table(grade))
    show(scorecard_table(grade))
    if journal.ledger:
        show(ledger_table(journal.ledger))
    OUTPUT.text(f"report: {(folder / REPORT_FILE).resolve()}")
    OUTPUT.text(f"next:   lab start {EXERCISE}       (the lab stays up; lab down removes it)")
    passed = grade.verdict is Verdict.PASS
    OUTPUT.done(
        {
            "folder": str(folder),
            "earned": grade.earned,
            "possible": grade.possible,
            "verdict": grade.verdict.value,
        },
        exit_code=0 if passed else CheckFailed.exit_code,
    )


def _lab(name: str, seed: int) -> labs.Lab:
    running = lifecycle.running(name)
    if running is not None:
        return running
    with labs.exclusive(labs.lab_directory(name)), OUTPUT.progress("up") as bar:
        return bringup.bring_up(LabSettings(name, seed), progress=bar)


def _cured(lab: labs.Lab, fault: str) -> bool:
    return any(entry["id"] == fault and entry.get("undoneAt") for entry in lab.faults.journal())


def _wait(condition: object, lab: labs.Lab, failed: str) -> None:
    began = time.monotonic()
    if not wait_until(condition, seconds=lab.settings.scale.real(minutes=SEEN_MINUTES), every=0.2):
        waited = lab.settings.scale.lab_minutes(time.monotonic() - began)
        raise DeadlineExceeded(f"{failed} in {waited:.0f} lab minutes", hint="lab logs automation")
