"""approvals, approve, refuse: what programs ask a person for."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lab.cli.options import DEFAULT_NAME, NOBODY, By, Json, Name, who
from lab.cli.output import OUTPUT
from lab.engine import lab as labs
from lab.errors import UsageError
from lab.pager.text import plain

PATH = "/api/v1/approvals"


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    for command in (approvals, approve, refuse):
        app.command()(command)


def approvals(
    status: Annotated[
        str, typer.Option("--status", help="pending, approved, refused, expired or used; all when left out.")
    ] = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Requests for approval and their answers."""
    found = labs.open_lab(name).pager.call("GET", PATH, params={"status": status})["approvals"]
    if not found:
        OUTPUT.say(f"no approval is {status}" if status else "nothing was asked for yet")
    OUTPUT.table(
        ("ID", "STATUS", "ASKED BY", "FOR", "REASON", "RESTORE POINT", "DECIDED BY"),
        [
            (
                a["id"],
                a["status"],
                plain(a["requestedBy"]),
                plain(_deed(a)),
                plain(a["reason"]),
                plain(a["restorePoint"]) or "-",
                a["decidedBy"] or f"nobody, until {a['expiresAt']}",
            )
            for a in found
        ],
    )
    pending = [a["id"] for a in found if a["status"] == "pending"]
    if pending:
        OUTPUT.next_step(f"lab approve {pending[0]} --by NAME", f"lab refuse {pending[0]} --reason …")
    OUTPUT.done({"approvals": found})


def _deed(approval: dict[str, Any]) -> str:
    kind = "/".join(part for part in (approval["resource"], approval["subresource"]) if part)
    where = "/".join(part for part in (approval["namespace"], approval["name"]) if part)
    return f"{approval['verb']} {kind} {where}".strip()


def approve(
    identity: Annotated[str, typer.Argument(metavar="ID", help="An approval: lab approvals lists them.")],
    by: By = "",
    note: Annotated[str, typer.Option("--note", help="A remark; it is recorded.")] = "",
    lasting: Annotated[
        float | None, typer.Option("--lab-minutes", min=0.1, help="How long it holds; 10 by default.")
    ] = None,
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Allow one risky request, once."""
    body = {"by": _named(by), "note": note, "forLabMinutes": lasting}
    done = labs.open_lab(name).pager.call("POST", f"{PATH}/{identity}/approve", body=body)
    OUTPUT.text(f"{identity} is approved by {done['decidedBy']} until {done['expiresAt']}: {_deed(done)}")
    OUTPUT.done(done)


def refuse(
    identity: Annotated[str, typer.Argument(metavar="ID", help="An approval: lab approvals lists them.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; the automation reads it.")],
    by: By = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Refuse one risky request."""
    body = {"by": _named(by), "reason": reason}
    done = labs.open_lab(name).pager.call("POST", f"{PATH}/{identity}/refuse", body=body)
    OUTPUT.text(f"{identity} is refused by {done['decidedBy']}: {_deed(done)}")
    OUTPUT.done(done)


def _named(by: str) -> str:
    """Who decides: a name, and not merely somebody."""
    name = by or who()
    if name == NOBODY:
        raise UsageError("a decision needs a name, and this system has no user name", hint="add --by NAME")
    return name
