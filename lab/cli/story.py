"""demo: the whole story once, with the first exercise's reference automation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab import catalog
from lab.cli import exercises as exercise_commands
from lab.cli import lifecycle
from lab.cli.grading import EXIT_CODES, run_grade, show
from lab.cli.options import DEFAULT_NAME, Json, Name, Seed
from lab.cli.output import OUTPUT
from lab.cli.placement import by_environment
from lab.core.exercise import Exercise
from lab.engine import bringup
from lab.engine import lab as labs
from lab.engine.settings import LabSettings
from lab.grading.dossier import REPORT_FILE, publish
from lab.reports.journal import RunJournal
from lab.reports.text import Table, grade_table, ledger_table, scorecard_table, shadow_table

EXERCISE = "stuck-workers"
HOUR_SECONDS = 45.0
"""A demo's lab hour is shorter than usual; every window and delay follows it."""


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(demo)


def demo(
    name: Name = DEFAULT_NAME,
    solution: Annotated[str, typer.Option("--solution", help="python or ansible.")] = "python",
    seed: Seed = 1,
    json: Json = False,
) -> None:
    """Go the whole way once, from lab up to a graded report. The reference automation plays your part."""
    exercise = catalog.exercise(EXERCISE)
    source = exercise_commands.starting_point(exercise.id, solution)
    lab, begun = _lab(name, seed)
    try:
        _demo(lab, exercise, source, solution, seed)
    except KeyboardInterrupt:
        if begun:
            lab.down()
        raise


def _demo(lab: labs.Lab, exercise: Exercise, source: Path, solution: str, seed: int) -> None:
    """The story on a lab that is up."""
    _tell(1, f"Lab {lab.name!r} is up: a shop whose workers hang, its monitoring, a pager, an on-call human.")
    _tell(2, f"The automation {solution!r} meets real damage, in shadow mode and live, each on a fresh lab.")
    grade, folder = run_grade(exercise, source, seed=seed, hour=HOUR_SECONDS)
    journal = publish(exercise, grade, folder)
    _what_happened(exercise, journal)
    _tell(5, "The grade, by what it did and by nothing that it says:")
    show(grade_table(grade))
    show(scorecard_table(grade))
    if journal.ledger:
        _tell(6, "The toil, before and after:")
        show(ledger_table(journal.ledger))
    _the_end(folder)
    OUTPUT.done(
        {
            "folder": str(folder),
            "earned": grade.earned,
            "possible": grade.possible,
            "verdict": grade.verdict.value,
        },
        exit_code=EXIT_CODES[grade.verdict],
    )


def _lab(name: str, seed: int) -> tuple[labs.Lab, bool]:
    """The lab, and whether it was brought up just now."""
    with labs.exclusive(labs.lab_directory(name)):
        existing = lifecycle.running(name)
        if existing is not None:
            return existing, False
        with OUTPUT.progress("up") as bar:
            return bringup.bring_up(by_environment(LabSettings(name, seed)), progress=bar), True


def _what_happened(exercise: Exercise, journal: RunJournal) -> None:
    """The shadow comparison, and what was done live, from the run's own records."""
    for episode in journal.episodes:
        if episode.shadow:
            _tell(3, "In shadow it changed nothing, and this is what it would have done:")
            show(shadow_table(episode.shadow))
    _tell(4, "Live:")
    rows = [
        (entry["at"][11:19], episode.title, entry["by"], entry["text"])
        for episode in journal.episodes
        if not episode.shadow
        for entry in episode.posts
    ]
    show(Table("", ("time", "run", "who", "told the team's channel"), tuple(rows)))


def _tell(number: int, text: str) -> None:
    OUTPUT.text(f"{number}. {text}")


def _the_end(folder: Path) -> None:
    OUTPUT.text(f"Open the report:  {(folder / REPORT_FILE).resolve()}")
    OUTPUT.text(f"Your turn:        lab start {EXERCISE}     (the lab stays up; lab down removes it)")
