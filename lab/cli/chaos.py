"""break, heal, faults: damage on purpose, its end, and what there is."""

from __future__ import annotations

from typing import Annotated, Any

import typer
import yaml

from lab.cli.options import DEFAULT_NAME, Json, Name, span
from lab.cli.output import OUTPUT
from lab.engine import lab as labs
from lab.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command("break")(break_)
    app.command()(heal)
    app.command()(faults)


def break_(
    fault: Annotated[str, typer.Argument(help="A fault of the catalogue: lab faults lists it.")],
    name: Name = DEFAULT_NAME,
    lasting: Annotated[str, typer.Option("--for", help="Undo it by itself after so long, such as 90s.")] = "",
    parameters: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter, as key=value; may be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Inject a fault now."""
    lab = labs.open_lab(name)
    known = {entry["name"] for entry in lab.faults.catalogue()}
    if fault not in known:
        raise UsageError(f"there is no fault {fault!r}", hint="known: " + ", ".join(sorted(known)))
    entries = lab.faults.inject(fault, span(lasting) if lasting else None, _values(parameters or []))
    for entry in entries:
        OUTPUT.text(f"{entry['id']}  {entry['fault']}  {target(entry)}  {entry['state']}")
    OUTPUT.next_step("lab faults", f"lab heal {fault}")
    OUTPUT.done({"entries": entries})


def _values(given: list[str]) -> dict[str, Any]:
    values = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {item!r} is not key=value")
        try:
            values[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            values[key] = value
    return values


def target(entry: dict[str, Any]) -> str:
    """The target of a journal entry in one word or two."""
    aim = entry["target"]
    where = f"{aim.get('kind', '')} {aim.get('namespace', '')}/{aim.get('name', '')}".strip()
    return f"{where} (partition {aim['partition']})" if aim.get("partition") is not None else where


def heal(
    fault: Annotated[str, typer.Argument(help="Only this fault; all when left out.")] = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Undo active faults."""
    entries = labs.open_lab(name).faults.heal(fault)
    for entry in entries:
        OUTPUT.text(f"{entry['id']}  {entry['fault']}  {target(entry)}  {entry['state']}")
    if not entries:
        OUTPUT.say("nothing to heal: no such fault is active")
    OUTPUT.done({"entries": entries})


def faults(name: Name = DEFAULT_NAME, json: Json = False) -> None:
    """The catalogue of faults, and which are active."""
    lab = labs.open_lab(name)
    catalogue, active = lab.faults.catalogue(), lab.faults.active()
    OUTPUT.table(
        ("FAULT", "PARAMETERS", "WHAT IT DOES"),
        [(f["name"], ", ".join(p["name"] for p in f["parameters"]), f["summary"]) for f in catalogue],
    )
    if active:
        OUTPUT.text("\nactive:")
        OUTPUT.table(
            ("ID", "FAULT", "TARGET", "SINCE"),
            [(e["id"], e["fault"], target(e), e.get("appliedAt") or "-") for e in active],
        )
    OUTPUT.done({"catalogue": catalogue, "active": active})
