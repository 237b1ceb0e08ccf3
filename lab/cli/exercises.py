"""exercises, start, exercise verify: what there is to practise."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from lab import catalog
from lab.cli import workspaces
from lab.cli.options import Json
from lab.cli.output import OUTPUT
from lab.core.places import data_root
from lab.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(exercises)
    app.command()(start)


def exercises(json: Json = False) -> None:
    """List the exercises."""
    found = catalog.exercises()
    OUTPUT.table(
        ("EXERCISE", "LEVEL", "MINUTES", "TITLE"), [(e.id, e.level, e.minutes, e.title) for e in found]
    )
    OUTPUT.next_step(*(f"lab start {e.id}" for e in found[:1]))
    OUTPUT.done(
        {"exercises": [{"id": e.id, "title": e.title, "level": e.level, "minutes": e.minutes} for e in found]}
    )


def start(
    exercise: Annotated[str, typer.Argument(help="An exercise: lab exercises lists them.")],
    solution: Annotated[
        str,
        typer.Option("--solution", help="Start from a reference (python, ansible) instead of the starter."),
    ] = "",
    into: Annotated[
        Path | None, typer.Option("--into", help="Another folder than ./workspace/EXERCISE.")
    ] = None,
    json: Json = False,
) -> None:
    """Copy an exercise's starter into a workspace of yours. Nothing of yours is ever overwritten."""
    found = catalog.exercise(exercise)
    source = starting_point(found.id, solution)
    target = into or workspaces.HOME / found.id
    if target.exists():
        raise UsageError(
            f"{target} exists already; it is left as it is",
            hint=f"go on with lab run {target}, or choose another folder with --into",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target)
    OUTPUT.text(f"{target} is yours: {found.title}")
    brief = data_root() / "exercises" / found.id / "README.md"
    OUTPUT.say(f"the brief: {brief}")
    OUTPUT.next_step("lab up", f"lab run {found.id} --mode shadow", f"lab grade {found.id}")
    OUTPUT.done({"workspace": str(target), "brief": str(brief)})


def starting_point(exercise: str, solution: str) -> Path:
    """The folder of the starter, or of a reference solution. Raises UsageError when there is none such."""
    base = data_root() / "exercises" / exercise
    if not solution:
        return base / "starter"
    found = sorted(p.name for p in (base / "solutions").iterdir() if p.is_dir())
    if solution not in found:
        raise UsageError(f"{exercise} has no solution {solution!r}", hint="there are: " + ", ".join(found))
    return base / "solutions" / solution
