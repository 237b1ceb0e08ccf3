"""Reads show the world as it was: one server's cache lags behind."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.api_fault import CLIENT, PROBABILITY, RESOURCES, ApiFault, api_spec, seconds


class StaleReads(ApiFault):
    """The world stands still when the fault begins, and from then on lags behind by the age."""

    spec = api_spec(
        "stale-reads",
        "Lists and gets show the cluster as it was seconds ago; writes and watches do not.",
        seconds("ageSeconds", "How old the answers are, in real time.", 5.0, 0.5, 240),
        Parameter(
            "verbs",
            ParameterType.TEXT,
            "Only gets, or only lists; both when absent.",
            choices=("get", "list"),
            several=True,
        ),
        common=(CLIENT, RESOURCES, PROBABILITY),
    )
