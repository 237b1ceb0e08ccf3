"""canary, rollback: an automation that acts on a share of the targets, and taking back what it changed."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from lab.canary.report import Outcome, summary
from lab.canary.status import CanaryPhase, Rollback, Status
from lab.cli.options import DEFAULT_NAME, Json, Name, span, who
from lab.cli.output import OUTPUT
from lab.core.canary import percent_text
from lab.core.clock import SystemClock, parse_rfc3339, rfc3339
from lab.engine import canary as canaries
from lab.engine import lab as labs
from lab.errors import CheckFailed, UsageError

_LEFT = (Outcome.CONFLICT, Outcome.NOT_RESTORABLE)


class Act(StrEnum):
    """What to do with the canary."""

    STATUS = "status"
    PROMOTE = "promote"
    ABORT = "abort"


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(canary)
    app.command()(rollback)


def canary(
    act: Annotated[
        Act, typer.Argument(help="promote: on to the next step. abort: to shadow, and restore.")
    ] = Act.STATUS,
    reason: Annotated[str, typer.Option("--reason", help="Recorded with who and when.")] = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Show the canary and what was measured; promote it or abort it yourself."""
    lab = labs.open_lab(name)
    if act is Act.STATUS:
        found = canaries.status(lab)
    else:
        found = canaries.command(lab, act.value, who(), reason=reason)
        if act is Act.ABORT:
            found = canaries.wait_rolled_back(lab)
    _show(found)
    OUTPUT.done(found.as_dict(), exit_code=_exit_code(found.rollback) if act is Act.ABORT else 0)


def rollback(
    since: Annotated[
        str,
        typer.Option("--since", help="5m, 90s (real time) or RFC 3339; the last canary's start if left out."),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be restored.")] = False,
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Restore what the automation changed, except where somebody else has changed it since."""
    lab = labs.open_lab(name)
    canaries.command(lab, "rollback", who(), since=_instant(since), dry_run=dry_run)
    made = canaries.wait_rolled_back(lab).rollback
    if made is None:
        raise UsageError("another canary was started meanwhile", hint="lab canary shows it")
    _show_rollback(made)
    OUTPUT.done(made.as_dict(), exit_code=_exit_code(made))


def _exit_code(made: Rollback | None) -> int:
    """1 when something is left for a person."""
    left = made is not None and (any(item.outcome in _LEFT for item in made.items) or bool(made.warnings))
    return CheckFailed.exit_code if left else 0


def _instant(since: str) -> str:
    if not since:
        return ""
    try:
        return rfc3339(parse_rfc3339(since))
    except ValueError:
        return rfc3339(SystemClock().now() - timedelta(seconds=span(since)))


def _show(found: Status) -> None:
    if found.phase is CanaryPhase.IDLE:
        OUTPUT.text("no canary was started yet")
        OUTPUT.next_step("lab run --mode canary")
        return
    steps = "  ".join(
        f"[{percent_text(step)} %]"
        if place == found.step and found.phase.active
        else f"{percent_text(step)} %"
        for place, step in enumerate(found.plan.steps)
    )
    OUTPUT.text(f"{found.phase.value}: {found.plan.automation or 'the automation'}, steps {steps}")
    OUTPUT.text(f"  {found.message}")
    if found.plan_error:
        OUTPUT.text(f"  {found.plan_error}")
    if found.phase.active:
        _show_measurements(found)
    if found.rollback is not None:
        _show_rollback(found.rollback)
    if found.phase is CanaryPhase.PAUSED:
        OUTPUT.next_step("lab canary promote", "lab canary abort")


def _show_measurements(found: Status) -> None:
    if not found.judging:
        wanted = found.plan.actions_to_promote
        OUTPUT.text(f"  {found.actions} of {wanted} real actions so far; measurements count after them")
    rows = []
    for metric in found.plan.metrics():
        result = found.results.get(metric.name)
        last = result.last if result else None
        value = "-" if last is None or last.value is None else f"{last.value:.4g}"
        counts = "nothing measured yet"
        if result:
            counts = f"{result.successful} good, {result.failed} failed, {result.inconclusive} inconclusive"
            counts += f", {result.error} errors" if result.error else ""
        rows.append(
            (metric.name, value, last.phase.value if last else "-", counts, last.message if last else "")
        )
    OUTPUT.table(("METRIC", "VALUE", "LAST", "THIS RUN", "WHY"), rows)


def _show_rollback(made: Rollback) -> None:
    what = "a rollback would give" if made.dry_run else "rollback" if made.done else "rollback under way"
    OUTPUT.text(f"{what} ({made.reason}, by {made.by}): {summary(made.items)}")
    for warning in made.warnings:
        OUTPUT.text(f"  {warning}")
    if made.items:
        rows = [
            (item.target, item.outcome.value, item.reason or ", ".join(item.fields)) for item in made.items
        ]
        OUTPUT.table(("OBJECT", "OUTCOME", "WHY, OR WHICH FIELDS"), rows)
