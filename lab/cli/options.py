"""Options that many commands share."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from lab.cli.output import OUTPUT
from lab.errors import UsageError

DEFAULT_NAME = "lab"
NOBODY = "somebody"
"""Who acts when the system does not know the user's name."""


def _set_json(value: bool) -> bool:
    OUTPUT.json = value or OUTPUT.json
    return value


Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON envelope on standard output.", callback=_set_json)
]
Name = Annotated[str, typer.Option("--name", envvar="LAB_NAME", help="Which lab, where several run.")]
By = Annotated[str, typer.Option("--by", help="Who does this; by default your user name.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Chooses victims, names and times.")]
Hour = Annotated[str, typer.Option("--hour", help="Real length of a lab hour, such as 60s.")]


def span(text: str) -> float:
    """Real seconds of a span such as `90`, `90s`, `5m` or `1h`. Raises UsageError when it is none."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text and text[-1] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 86400 * 7:
        raise UsageError(f"{text!r} is not a span of time", hint="write 90s, 5m or 1h (real time)")
    return seconds


def who() -> str:
    """The name that is recorded with what a person does."""
    return os.environ.get("USER") or os.environ.get("LOGNAME") or NOBODY
