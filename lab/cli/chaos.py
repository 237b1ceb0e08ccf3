"""break, heal, faults: damage on purpose, its end, and what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from lab.cli.options import DEFAULT_NAME, Json, Name, span
from lab.cli.output import OUTPUT
from lab.core.places import data_root
from lab.engine import lab as labs
from lab.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command("break")(break_)
    app.command()(heal)
    app.command()(faults)


def break_(
    fault: Annotated[str, typer.Argument(help="A fault of the catalogue: lab faults lists it.")] = "",
    name: Name = DEFAULT_NAME,
    lasting: Annotated[str, typer.Option("--for", help="Undo it by itself after so long, such as 90s.")] = "",
    on: Annotated[str, typer.Option("--on", help="Whom to hit; lab faults NAME says what is taken.")] = "",
    parameters: Annotated[
        list[str] | None, typer.Option("--set", help="A parameter, as key=value; may be repeated.")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", help="Start the steps of this YAML file, or of a shipped plan by name."),
    ] = None,
    json: Json = False,
) -> None:
    """Inject a fault now, or a plan of many."""
    lab = labs.open_lab(name)
    if plan is not None:
        if fault or lasting or on or parameters:
            raise UsageError("--plan stands alone", hint="put the fault and its settings into the file")
        _start_plan(lab, plan)
        return
    if not fault:
        raise UsageError("name a fault, or a plan with --plan", hint="lab faults lists them")
    known = {entry["name"]: entry for entry in lab.faults.catalogue()}
    if fault not in known:
        raise UsageError(f"there is no fault {fault!r}", hint="known: " + ", ".join(sorted(known)))
    values = _values(parameters or [])
    if on:
        aim = known[fault]["on"]
        if not aim:
            raise UsageError(
                f"the fault {fault} takes no --on", hint=f"lab faults {fault} shows its parameters"
            )
        values |= _values([f"{aim}={on}"])
    entries = lab.faults.inject(fault, span(lasting) if lasting else None, values)
    for entry in entries:
        OUTPUT.text(f"{entry['id']}  {entry['fault']}  {target(entry)}  {entry['state']}")
    OUTPUT.next_step("lab faults", f"lab heal {fault}")
    OUTPUT.done({"entries": entries})


def _start_plan(lab: labs.Lab, path: Path) -> None:
    shipped = data_root() / "clusters" / "plans"
    if len(path.parts) == 1 and not path.exists() and (shipped / f"{path}.yaml").exists():
        path = shipped / f"{path}.yaml"
    try:
        plan = yaml.safe_load(path.read_text())
    except OSError as error:
        known = ", ".join(sorted(found.stem for found in shipped.glob("*.yaml")))
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=f"shipped: {known}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(plan, dict) or not plan.get("steps"):
        raise UsageError(f"{path} is no plan", hint="a plan is {seed, steps: [{atSeconds, fault, …}]}")
    schedule = lab.faults.schedule(plan.get("seed", 0), plan.get("steps") or [])["schedule"]
    count = len(schedule["steps"])
    OUTPUT.say(
        f"plan started: {count} step{'s' * (count != 1)}, instead of the faults that come by themselves"
    )
    OUTPUT.next_step("lab faults", "lab heal")
    OUTPUT.done({"schedule": schedule})


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
    name = "/".join(filter(None, (aim.get("namespace"), aim.get("name"))))
    where = f"{aim.get('kind', '')} {name}".strip()
    return f"{where} (partition {aim['partition']})" if aim.get("partition") is not None else where


def heal(
    fault: Annotated[str, typer.Argument(help="Only this fault; all when left out.")] = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Undo active faults, and end a plan."""
    client = labs.open_lab(name).faults
    ended = not fault and client.end_schedule()
    entries = client.heal(fault)
    for entry in entries:
        OUTPUT.text(f"{entry['id']}  {entry['fault']}  {target(entry)}  {entry['state']}")
    if ended:
        OUTPUT.say("the plan is ended")
    elif not entries:
        OUTPUT.say("nothing to heal: no such fault is active")
    OUTPUT.done({"entries": entries})


def faults(
    fault: Annotated[str, typer.Argument(help="Show this fault with its parameters.")] = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """The catalogue of faults, and which are active."""
    lab = labs.open_lab(name)
    catalogue = [entry for entry in lab.faults.catalogue() if fault in ("", entry["name"])]
    if not catalogue:
        raise UsageError(f"there is no fault {fault!r}", hint="lab faults lists them")
    active = [entry for entry in lab.faults.active() if fault in ("", entry["fault"])]
    if fault:
        _one(catalogue[0])
    else:
        OUTPUT.table(
            ("FAMILY", "FAULT", "WHAT IT DOES"), [(f["family"], f["name"], f["summary"]) for f in catalogue]
        )
    if active:
        OUTPUT.text("\nactive:")
        OUTPUT.table(
            ("ID", "FAULT", "TARGET", "SINCE"),
            [(e["id"], e["fault"], target(e), e.get("appliedAt") or "-") for e in active],
        )
    OUTPUT.done({"catalogue": catalogue, "active": active})


def _one(spec: dict[str, Any]) -> None:
    OUTPUT.text(f"{spec['name']} ({spec['family']}): {spec['summary']}")
    lease = spec["leaseLabMinutes"]
    OUTPUT.text(
        f"lasts {lease:g} lab minutes unless --for says otherwise" if lease else "lasts until it is undone"
    )
    if spec["on"]:
        OUTPUT.text(f"--on sets {spec['on']}")
    if spec["parameters"]:
        OUTPUT.table(
            ("PARAMETER", "DEFAULT", "RANGE", "MEANING"),
            [(p["name"], _shown(p["default"]), _range(p), p["meaning"]) for p in spec["parameters"]],
        )


def _shown(value: Any) -> str:
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _range(parameter: dict[str, Any]) -> str:
    if parameter["choices"]:
        return " | ".join(parameter["choices"])
    low, high = parameter["minimum"], parameter["maximum"]
    span_ = "" if low is None or high is None else f"{low:g} to {high:g}"
    return f"{span_} {parameter['unit']}".strip()
