"""experiment: run a Chaos Toolkit experiment against the lab."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lab.cli.options import DEFAULT_NAME, Json, Name
from lab.cli.output import OUTPUT
from lab.core.clock import SystemClock
from lab.core.places import results_home
from lab.engine import lab as labs
from lab.errors import UsageError

if TYPE_CHECKING:
    from lab.experiments.run import Outcome

_EXIT_CODES = {"aborted": 5, "interrupted": 130}


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(experiment)


def experiment(
    file: Annotated[Path, typer.Argument(help="An experiment of the Chaos Toolkit, in JSON or YAML.")],
    name: Name = DEFAULT_NAME,
    journal: Annotated[
        Path | None, typer.Option("--journal", help="Write the journal there; by default below results/.")
    ] = None,
    json: Json = False,
) -> None:
    """Run a Chaos Toolkit experiment: steady state, method, steady state again; rolled back always."""
    from lab.experiments.run import activities_of, read_experiment, run_experiment, write_journal

    read = read_experiment(file)
    if journal is not None and journal.exists():
        raise UsageError(f"{journal} exists already", hint="choose another file with --journal")
    stamp = SystemClock().now().strftime("%Y%m%d-%H%M%S")
    target = journal or results_home() / f"{stamp}-experiment-{file.stem}-{os.getpid()}" / "journal.json"
    lab = labs.open_lab(name)
    OUTPUT.say(f"running {read['title']!r}")
    outcome = run_experiment(lab, read)
    write_journal(target, outcome.journal)
    rows = [
        (part, run["activity"]["name"], run["status"], _short(run.get("output")))
        for part, run in activities_of(outcome.journal)
    ]
    OUTPUT.table(("PART", "ACTIVITY", "STATUS", "OUTPUT"), rows)
    OUTPUT.text(_verdict(outcome))
    if outcome.healed:
        OUTPUT.say(f"undone after the rollbacks: {', '.join(outcome.healed)}")
    if outcome.unhealed:
        OUTPUT.say(f"a fault may be left: {outcome.unhealed}; lab heal undoes it")
    OUTPUT.say(f"journal: {target}")
    data = {
        "status": outcome.status,
        "gated": outcome.gated,
        "deviated": outcome.deviated,
        "healed": outcome.healed,
    }
    code = 0 if outcome.ok else _EXIT_CODES.get(outcome.status, 1)
    OUTPUT.done(data | {"journal": str(target)}, exit_code=code)


def _verdict(outcome: Outcome) -> str:
    if outcome.gated:
        return "the steady state was not met to begin with; the method did not run"
    return outcome.status + (", and the steady state deviated" if outcome.deviated else "")


def _short(value: object) -> str:
    text = str(value) if value is not None else "-"
    return text if len(text) <= 60 else text[:57] + "..."
