"""grade, exercise verify, report, shadow-report, ledger: what an automation is worth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lab import catalog
from lab.cli import exercises as exercise_commands
from lab.cli import workspaces
from lab.cli.options import DEFAULT_NAME, Hour, Json, Name, Seed, span
from lab.cli.output import OUTPUT
from lab.cli.placement import Provider, by_environment
from lab.core.exercise import Exercise
from lab.core.places import results_home
from lab.core.verdict import Grade, Verdict
from lab.economics.ledger import ledger as make_ledger
from lab.engine import bringup, observe, verify
from lab.engine import lab as labs
from lab.engine.providers import provider_of
from lab.engine.settings import LabSettings
from lab.engine.shadow import DEFAULTS
from lab.engine.shadow import shadow_report as make_shadow_report
from lab.errors import CheckFailed, DeadlineExceeded, LabError, UsageError
from lab.grading.dossier import REPORT_FILE, publish
from lab.grading.run import grade as grade_workspace
from lab.grading.run import load_grade, regrade
from lab.reports import journal as journals
from lab.reports.text import Table, grade_table, ledger_table, scorecard_table, shadow_table

EXIT_CODES = {
    Verdict.PASS: 0,
    Verdict.FAIL: CheckFailed.exit_code,
    Verdict.INCONCLUSIVE: DeadlineExceeded.exit_code,
    Verdict.ERROR: LabError.exit_code,
}
Solution = Annotated[str, typer.Option("--solution", help="Grade a reference (python, ansible) instead.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="Only this group; may be repeated.")]
Serial = Annotated[bool, typer.Option("--serial", help="One group after the other, for a small machine.")]


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(grade)
    app.command()(report)
    app.command("shadow-report")(shadow_report)
    app.command()(ledger)
    nested = typer.Typer(help="For authors of exercises.", no_args_is_help=True)
    nested.command("verify")(exercise_verify)
    app.add_typer(nested, name="exercise")


def show(table: Table) -> None:
    """Print a report's table with its notes."""
    OUTPUT.table([column.upper() for column in table.columns], table.rows, table.title)
    OUTPUT.prose("\n".join(table.notes) + "\n")


def grade(
    exercise: Annotated[str, typer.Argument(help="An exercise: lab exercises lists them.")],
    workspace: Annotated[str, typer.Argument(help="Your folder; ./workspace/EXERCISE if left out.")] = "",
    solution: Solution = "",
    seed: Seed = 1,
    group: Groups = None,
    serial: Serial = False,
    hour: Hour = "60s",
    provider: Provider = "",
    again: Annotated[str, typer.Option("--again", help="Judge a kept run again, without running it.")] = "",
    json: Json = False,
) -> None:
    """Grade an automation on fresh labs, by its effects. Grade and report stay in ./results."""
    found = catalog.exercise(exercise)
    if again:
        folder = run_folder(again)
        made = regrade(found, folder)
    else:
        source = _graded_folder(found, workspace, solution)
        made, folder = run_grade(
            found, source, seed=seed, only=group, parallel=not serial, hour=span(hour), provider=provider
        )
    publish(found, made, folder)
    show(grade_table(made))
    show(scorecard_table(made))
    OUTPUT.text(f"report: {folder / REPORT_FILE}")
    OUTPUT.next_step(f"lab report {folder.name}")
    totals = {"earned": made.earned, "possible": made.possible, "verdict": made.verdict.value}
    OUTPUT.done(asdict(made) | totals | {"folder": str(folder)}, exit_code=EXIT_CODES[made.verdict])


def _graded_folder(exercise: Exercise, workspace: str, solution: str) -> Path:
    if solution and workspace:
        raise UsageError("a workspace and --solution at once: which one is to be graded?")
    if solution:
        return exercise_commands.starting_point(exercise.id, solution)
    return workspaces.resolve(workspace or exercise.id)


def run_grade(
    exercise: Exercise,
    source: Path,
    *,
    seed: int,
    only: list[str] | None = None,
    parallel: bool = True,
    hour: float = 60.0,
    provider: str = "",
    title: str = "grade",
) -> tuple[Grade, Path]:
    """Run the groups with progress; the grade and its folder."""
    place = by_environment(LabSettings(), provider)
    made_by = provider_of(place)
    made_by.check()
    labs.remove_orphans()

    def throw_away(settings: LabSettings) -> labs.Lab:
        return bringup.bring_up(by_environment(settings, provider), throw_away=True)

    with OUTPUT.progress(title) as bar:
        made = grade_workspace(
            exercise,
            source,
            bring_up=throw_away,
            seed=seed,
            only=only,
            parallel=parallel and not made_by.alone,
            provider=place.provider,
            hour_seconds=hour,
            on_progress=bar.of_group,
        )
    return made, results_home() / made.run


def exercise_verify(
    exercise: Annotated[str, typer.Argument(help="An exercise: lab exercises lists them.")],
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A solution, starter or mutant; may be repeated.")
    ] = None,
    seed: Seed = 1,
    serial: Serial = False,
    json: Json = False,
) -> None:
    """Prove an exercise: references pass every check, starter and mutants fail exactly the named ones."""
    found = catalog.exercise(exercise)

    def one(workspace: Path, subject: str) -> Grade:
        made, folder = run_grade(found, workspace, seed=seed, parallel=not serial, title=subject)
        publish(found, made, folder)
        return made

    proofs = verify.verify(found, one, only=only, on_proof=lambda p: OUTPUT.say(_proof_line(p)))
    rows = [
        ("ok" if p.ok else "WRONG", p.subject, f"{p.points:g}", ", ".join(p.failed) or "-") for p in proofs
    ]
    OUTPUT.table(("", "SUBJECT", "POINTS", "FAILED CHECKS"), rows)
    for proof in proofs:
        for problem in proof.problems:
            OUTPUT.text(f"{proof.subject}: {problem}")
    wrong = [proof.subject for proof in proofs if not proof.ok]
    OUTPUT.done(
        {"proofs": [proof.as_dict() for proof in proofs], "wrong": wrong},
        exit_code=CheckFailed.exit_code if wrong else 0,
    )


def _proof_line(proof: verify.Proof) -> str:
    return (
        f"{proof.subject}: {'as wanted' if proof.ok else '; '.join(proof.problems)} ({proof.points:g} points)"
    )


def run_folder(run: str) -> Path:
    """A run's folder by its name, its path, or the newest one. Raises UsageError when there is none."""
    if run:
        for folder in (Path(run), results_home() / run):
            if (folder / journals.FILE).is_file() or (folder / "grade.json").is_file():
                return folder
        raise UsageError(f"there is no run {run!r} in {results_home()}", hint="lab grade EXERCISE makes one")
    found = journals.runs(results_home())
    if not found:
        raise UsageError(f"there is no run in {results_home()}", hint="lab grade EXERCISE makes one")
    return found[0]


def report(
    run: Annotated[str, typer.Argument(help="A run's name or folder; the newest one if left out.")] = "",
    json: Json = False,
) -> None:
    """Show a graded run and write its report, one HTML file."""
    folder = run_folder(run)
    made = load_grade(folder)
    journal = publish(catalog.exercise(made.exercise), made, folder)
    show(scorecard_table(made))
    if journal.ledger:
        show(ledger_table(journal.ledger))
    OUTPUT.text(f"report: {(folder / REPORT_FILE).resolve()}")
    OUTPUT.done({"folder": str(folder), "html": str(folder / REPORT_FILE)} | journals.as_json(journal))


def shadow_report(
    exercise: Annotated[
        str, typer.Option("--exercise", help="Whose thresholds decide; the lab's own if left out.")
    ] = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Compare its intents with the human and with the truth: promote it, or hold."""
    thresholds = catalog.exercise(exercise).shadow if exercise else DEFAULTS
    made = make_shadow_report(observe.observe(labs.open_lab(name)), thresholds)
    show(shadow_table(made.as_dict()))
    if not made.matches:
        OUTPUT.next_step("lab break hung-workers", "lab shadow-report")
    OUTPUT.done(made.as_dict(), exit_code=0 if made.matches else DeadlineExceeded.exit_code)


def ledger(
    exercise: Annotated[str, typer.Option("--exercise", help="Whose frequency and cost to project with.")] = (
        "stuck-workers"
    ),
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Show the toil of this lab: how often, how long, its cost."""
    lab = labs.open_lab(name)
    found = catalog.exercise(exercise)
    split = observe.split_by_mode(lab)
    made = make_ledger(found.toil, lab.settings.scale, before=split.people, after=split.automation)
    show(ledger_table(made.as_dict()))
    OUTPUT.done(made.as_dict())
