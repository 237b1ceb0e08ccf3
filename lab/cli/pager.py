"""incidents, acknowledge, post, oncall, dead-letters, silence: what a person does at the pager."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from lab.cli.options import DEFAULT_NAME, By, Json, Name, span, who
from lab.cli.output import OUTPUT
from lab.core.clock import SystemClock, rfc3339
from lab.engine import lab as labs
from lab.engine.lab import Lab
from lab.errors import UsageError
from lab.pager.text import plain

Reason = Annotated[str, typer.Option("--reason", help="Why; it is recorded.")]
Incident = Annotated[str, typer.Option("--incident", help="The incident it is about.")]


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    for command in (incidents, acknowledge, post, oncall, silence):
        app.command()(command)
    app.command("dead-letters")(dead_letters)


def incidents(
    status: Annotated[
        str, typer.Option("--status", help="open, all, triggered, acknowledged or resolved.")
    ] = "open",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Incidents, and who is called for them."""
    found = _call(labs.open_lab(name), "GET", "incidents", query={"status": status})["incidents"]
    if not found:
        OUTPUT.say(f"no incident is {status}" if status != "all" else "there was no incident yet")
    OUTPUT.table(
        ("ID", "STATUS", "SEVERITY", "ALERT", "SINCE", "WHO"),
        [
            (
                i["id"],
                i["status"],
                i["severity"],
                plain(_alert(i["labels"])),
                i["startsAt"],
                plain(_in_charge(i)),
            )
            for i in found
        ],
    )
    OUTPUT.done({"incidents": found})


def _alert(labels: dict[str, str]) -> str:
    rest = ", ".join(
        f"{key}={value}" for key, value in sorted(labels.items()) if key not in ("alertname", "severity")
    )
    return f"{labels['alertname']} {rest}".strip()


def _in_charge(incident: dict[str, Any]) -> str:
    if incident["resolvedBy"] or incident["acknowledgedBy"]:
        return str(incident["resolvedBy"] or incident["acknowledgedBy"])
    ladder = incident["ladder"]
    if ladder is None:
        return "nobody: a ticket"
    return "nobody is left to call" if ladder["exhaustedAt"] else f"calling {ladder['person']}"


def acknowledge(
    identity: Annotated[str, typer.Argument(metavar="ID", help="An incident (inc-…) or escalation (esc-…).")],
    by: By = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Take an incident or an escalation: the ladder stops calling people for it."""
    what = "escalations" if identity.startswith("esc-") else "incidents"
    done = _call(labs.open_lab(name), "POST", f"{what}/{identity}/acknowledge", {"by": by or who()})
    OUTPUT.text(f"{identity} is taken by {done['acknowledgedBy']}")
    OUTPUT.done(done)


def post(
    text: Annotated[str, typer.Argument(help="What the team is told; without it the posts so far.")] = "",
    incident: Incident = "",
    by: By = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Post to the team channel, or read it."""
    lab = labs.open_lab(name)
    if text:
        lab.pager.post_status(by or who(), text, incident)
    posts = lab.pager.status_posts()
    OUTPUT.table(
        ("AT", "BY", "INCIDENT", "POST"),
        [
            (p["at"], plain(p["by"]), p["incident"] or "-", plain(p["text"]))
            for p in (posts[-1:] if text else posts)
        ],
    )
    OUTPUT.done({"posts": posts})


def oncall(
    to: Annotated[str, typer.Option("--to", help="Hand over to this person.")] = "",
    giver: Annotated[
        str, typer.Option("--from", help="Who hands over; by default who is called first.")
    ] = "",
    note: Annotated[str, typer.Option("--note", help="What the next one should know.")] = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Who is on call, the open work, and the hand-over to the next person."""
    lab = labs.open_lab(name)
    if not to and (giver or note):
        raise UsageError("a hand-over needs --to", hint="lab oncall --to NAME")
    if to:
        first = giver or _call(lab, "GET", "oncall")["primary"]
        _call(lab, "POST", "oncall/handover", {"from": first, "to": to, "note": note})
    now = _call(lab, "GET", "oncall")
    OUTPUT.table(
        ("LEVEL", "CALLED", "LAB MINUTES TO ANSWER"),
        [(level["name"], level["person"], f"{level['labMinutes']:g}") for level in now["levels"]],
    )
    OUTPUT.text(plain(now["summary"], 4000))
    OUTPUT.done(now)


def dead_letters(
    replay: Annotated[str, typer.Option("--replay", metavar="ID", help="Give it back to its owner.")] = "",
    discard: Annotated[
        str, typer.Option("--discard", metavar="ID", help="Throw it away; needs --reason.")
    ] = "",
    reason: Reason = "",
    status: Annotated[
        str, typer.Option("--status", help="open, replayed, done or discarded; all when left out.")
    ] = "",
    by: By = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Work that was given up: look at it, give it back, or throw it away."""
    if replay and discard:
        raise UsageError("--replay and --discard are two decisions", hint="give one of them")
    if discard and not reason:
        raise UsageError("--discard needs a reason", hint="add --reason TEXT")
    lab = labs.open_lab(name)
    if replay:
        _call(lab, "POST", f"dead-letters/{replay}/replay", {"by": by or who()})
    if discard:
        _call(lab, "POST", f"dead-letters/{discard}/discard", {"by": by or who(), "reason": reason})
    found = _call(lab, "GET", "dead-letters", query={"status": status})["deadLetters"]
    if not found:
        OUTPUT.say("the dead-letter queue is empty")
    OUTPUT.table(
        ("ID", "STATUS", "ATTEMPTS", "OWNER", "INCIDENT", "WHAT"),
        [
            (
                x["id"],
                x["status"],
                x["attempts"],
                plain(x["webhook"] or x["by"]),
                x["incident"] or "-",
                plain(x["summary"]),
            )
            for x in found
        ],
    )
    OUTPUT.done({"deadLetters": found})


def silence(
    matchers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MATCHER]...", help='Such as alertname="X" or partition=~3|4.'),
    ] = None,
    lasting: Annotated[str, typer.Option("--for", help="How long, in real time, such as 90s or 5m.")] = "60s",
    comment: Annotated[str, typer.Option("--comment", help="Why; it is recorded.")] = "",
    expire: Annotated[str, typer.Option("--expire", metavar="ID", help="End this silence now.")] = "",
    by: By = "",
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Let alerts that match page nobody for a while; without a matcher, the silences there are."""
    if matchers and expire:
        raise UsageError("a new silence and --expire are two decisions", hint="give one of them")
    seconds = span(lasting)
    lab = labs.open_lab(name)
    if expire:
        lab.pager.call("DELETE", f"/api/v2/silence/{expire}")
    if matchers:
        now = SystemClock().now()
        body = {
            "matchers": matchers,
            "startsAt": rfc3339(now),
            "endsAt": rfc3339(now + timedelta(seconds=seconds)),
            "createdBy": by or who(),
            "comment": comment,
        }
        lab.pager.call("POST", "/api/v2/silences", body=body)
    found = lab.pager.call("GET", "/api/v2/silences")
    if not found:
        OUTPUT.say("nothing is silenced")
    OUTPUT.table(
        ("ID", "STATE", "MATCHERS", "UNTIL", "BY", "COMMENT"),
        [
            (
                s["id"],
                s["status"]["state"],
                _matchers(s),
                s["endsAt"],
                plain(s["createdBy"]),
                plain(s["comment"]) or "-",
            )
            for s in found
        ],
    )
    OUTPUT.done({"silences": found})


def _matchers(silence: dict[str, Any]) -> str:
    signs = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
    return " ".join(
        f"{m['name']}{signs[m['isEqual'], m['isRegex']]}{m['value']}" for m in silence["matchers"]
    )


def _call(
    lab: Lab, method: str, path: str, body: dict[str, Any] | None = None, query: dict[str, str] | None = None
) -> Any:
    return lab.pager.call(method, f"/api/v1/{path}", body=body, params=query)
