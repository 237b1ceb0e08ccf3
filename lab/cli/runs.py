"""run, stop, shadow-report, kill-switch: an automation in front of production."""

from __future__ import annotations

from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lab import catalog
from lab.automation.manifest import Automation
from lab.catalog.canary import default_canary
from lab.cli import workspaces
from lab.cli.options import DEFAULT_NAME, Json, Name, who
from lab.cli.output import OUTPUT
from lab.core.audit import Mode
from lab.core.canary import CanaryPlan, percent_text, read_steps
from lab.core.places import data_root
from lab.engine import lab as labs
from lab.engine.program import early_end, last_words
from lab.errors import UsageError

HOW_TO_WATCH = "kubectl -n {} logs -f deploy/automation"


class Switch(StrEnum):
    """What to do with the kill switch."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(run)
    app.command()(stop)
    app.command("kill-switch")(kill_switch)


def run(
    workspace: Annotated[
        str, typer.Argument(help="A folder or an exercise you started; the only one if left out.")
    ] = "",
    mode: Annotated[
        Mode, typer.Option("--mode", help="shadow: dry runs only. canary: a share for real. live: for real.")
    ] = Mode.SHADOW,
    steps: Annotated[
        str, typer.Option("--steps", help="Of a canary: percent of the targets, such as 10,50,100.")
    ] = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Start your automation as a pod, in shadow, canary or live mode. Its writes go through the gateway."""
    folder = workspaces.resolve(workspace)
    plan = _plan(folder, mode, steps)
    lab = labs.open_lab(name)
    automation = lab.run_automation(folder, mode, by=who(), canary=plan)
    ended = early_end(lab)
    if ended is not None:
        why = f" ({ended.last_reason})" if ended.last_reason else ""
        OUTPUT.text(
            f"{automation.name} was started in {mode.value} mode, but its program has ended already{why}"
        )
        for line in last_words(lab):
            OUTPUT.say(f"  {line}")
        OUTPUT.next_step("lab logs automation", "lab stop", "lab run once it is mended")
    elif mode is Mode.SHADOW:
        OUTPUT.text(_running(automation, mode, folder))
        OUTPUT.next_step(HOW_TO_WATCH.format(lab.namespaces.real("automation")), "lab shadow-report")
    elif plan is not None:
        OUTPUT.text(_running(automation, mode, folder))
        shares = ", ".join(f"{percent_text(step)} %" for step in plan.steps)
        OUTPUT.say(f"  steps: {shares}; each is judged by {len(plan.analysis)} metrics")
        OUTPUT.next_step("lab canary", "lab canary abort", "lab kill-switch on")
    else:
        OUTPUT.text(_running(automation, mode, folder))
        OUTPUT.next_step(
            HOW_TO_WATCH.format(lab.namespaces.real("automation")), "lab ledger", "lab kill-switch on"
        )
    OUTPUT.done(
        {
            "automation": automation.name,
            "mode": mode.value,
            "workspace": str(folder),
            "canary": plan and plan.as_dict(),
            "ended": ended and asdict(ended),
        }
    )


def _plan(folder: Path, mode: Mode, steps: str) -> CanaryPlan | None:
    """The canary's plan: that of the exercise which the workspace is named after, else the lab's own."""
    if mode is not Mode.CANARY:
        if steps:
            raise UsageError("--steps belongs to --mode canary")
        return None
    known = (data_root() / "exercises" / folder.name / "exercise.yaml").is_file()
    plan = (catalog.exercise(folder.name).canary if known else None) or default_canary()
    return replace(plan, steps=read_steps(steps)) if steps else plan


def _running(automation: Automation, mode: Mode, folder: Path) -> str:
    return f"{automation.name} runs in {mode.value} mode ({automation.runtime.value}, {folder})"


def stop(name: Name = DEFAULT_NAME, json: Json = False) -> None:
    """Stop the automation's pod."""
    labs.open_lab(name).stop_automation()
    OUTPUT.text("the automation is stopped")
    OUTPUT.done({})


def kill_switch(
    to: Annotated[Switch, typer.Argument(help="on stops every mutation of the automation, at once.")],
    reason: Annotated[str, typer.Option("--reason", help="Recorded with who and when.")] = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Stop the automation from outside, or let it act again."""
    lab = labs.open_lab(name)
    if to is not Switch.STATUS:
        lab.set_kill_switch(to is Switch.ON, who(), reason)
    control = lab.control()
    said = ", ".join(f"{key} {control[key]}" for key in ("by", "at", "reason") if control.get(key))
    OUTPUT.text(f"the kill switch is {control.get('killSwitch', 'unknown')} ({said})")
    OUTPUT.done(control)
