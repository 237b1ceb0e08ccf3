"""page: the link of the live page."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from lab.cli.options import DEFAULT_NAME, Json, Name
from lab.cli.output import OUTPUT
from lab.engine import lab as labs


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    app.command()(page)


def page(
    name: Name = DEFAULT_NAME,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser as well.")] = False,
    json: Json = False,
) -> None:
    """The live page: incidents, intents, actions, success rate, and the kill switch. Its link is a key."""
    from lab.dashboard.access import page_token

    lab = labs.open_lab(name)
    lab.ensure("dashboard")
    link = f"{lab.url('lab-system', 'dashboard', 8080)}/?token={page_token(lab.admin_token)}"
    OUTPUT.text(link)
    if open_ and not webbrowser.open(link):
        OUTPUT.say("no browser could be opened; use the link")
    OUTPUT.done({"url": link})
