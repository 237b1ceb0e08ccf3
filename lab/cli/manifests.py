"""manifests: what somebody else applies to a cluster."""

from __future__ import annotations

from typing import Annotated

import typer
import yaml

from lab.cli.options import DEFAULT_NAME, Json, Name
from lab.cli.output import OUTPUT


def register(app: typer.Typer) -> None:
    """Add this noun's commands."""
    group = typer.Typer(no_args_is_help=True, help="What an administrator applies to a cluster.")
    group.command()(namespaces)
    app.add_typer(group, name="manifests")


def namespaces(
    subject: Annotated[
        str,
        typer.Option(
            "--subject",
            help="Who brings the lab up: user:NAME, group:NAME or serviceaccount:NAMESPACE:NAME.",
        ),
    ],
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Print a lab's namespaces and the rights for it, for an administrator to apply. Changes nothing."""
    from lab.engine.administrator import for_administrator, subject_of

    found = for_administrator(name, subject_of(subject))
    OUTPUT.text(yaml.safe_dump_all(found, sort_keys=False).rstrip())
    OUTPUT.done({"objects": found})
