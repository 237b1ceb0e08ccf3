"""Watches end, over and over."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.api_fault import CLIENT, PROBABILITY, RESOURCES, ApiFault, api_spec, seconds


class WatchDrop(ApiFault):
    """Also a watch that was open when the fault began."""

    spec = api_spec(
        "watch-drop",
        "Watches end soon after they have begun; those that are open end as well.",
        seconds("afterSeconds", "How long a watch lives, in real time.", 1.0, 0, 300),
        Parameter(
            "ending",
            ParameterType.TEXT,
            "A reset of the connection, or the clean end with which a watch times out.",
            default="reset",
            choices=("reset", "clean"),
        ),
        common=(CLIENT, RESOURCES, PROBABILITY),
    )
