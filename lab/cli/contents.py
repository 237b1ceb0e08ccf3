"""What a lab is made of: the options of `lab up`, and which of them make no lab."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from lab.cli.options import span
from lab.core.staffing import CHEAP, DEAR, MOST_NODES, MOST_WORKERS, PARTITIONS
from lab.engine.settings import LabSettings
from lab.errors import UsageError

SHORTEST_HOUR = 5.0
OWN = "own"
"""Of `--prometheus`: the lab's."""

Toil = Annotated[
    str, typer.Option("--toil", help="recurring: workers hang at seeded times. off: only by lab break.")
]
Extras = Annotated[
    str,
    typer.Option(
        "--with",
        help="Optional parts, separated by commas: logstore, an S3 store; database-ops, guarded operations "
        "of the database; grafana, where any image runs; alertmanager, between Prometheus and the pager.",
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", min=PARTITIONS, max=MOST_WORKERS, help="How many workers and partitions the shop has."
    ),
]
Starts = Annotated[
    str, typer.Option("--starts", help="What a worker's start costs the database: dear or cheap.")
]
Nodes = Annotated[int, typer.Option("--nodes", min=1, max=MOST_NODES, help="How many nodes the cluster has.")]
Prometheus = Annotated[
    str,
    typer.Option(
        "--prometheus",
        help="own; or existing, the cluster's one of the Prometheus Operator; or NAMESPACE/NAME of it.",
    ),
]
Retain = Annotated[bool, typer.Option("--retain", help="Keep a lab that did not come up, for a look.")]


def hour_of(text: str) -> float:
    """The real seconds of a lab hour. Raises UsageError for one in which nobody could work."""
    seconds = span(text)
    if seconds < SHORTEST_HOUR:
        raise UsageError(
            f"--hour {text} is too short to work in", hint=f"at least {SHORTEST_HOUR:g}s; 60s is usual"
        )
    return seconds


def made_of(settings: LabSettings, prometheus: str) -> LabSettings:
    """The settings, with that Prometheus. Raises UsageError for a word that no option knows."""
    if settings.toil not in ("recurring", "off"):
        raise UsageError(f"--toil is recurring or off, not {settings.toil!r}")
    if settings.starts not in (CHEAP, DEAR):
        raise UsageError(f"--starts is {DEAR} or {CHEAP}, not {settings.starts!r}")
    return replace(settings, prometheus="" if prometheus == OWN else prometheus)
