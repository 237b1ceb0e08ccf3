"""What the monitoring faults have in common: whom they hit, who carries them out, and in which units.

Patterns have shell wildcards: `*`, `?`, `[...]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.core.clock import TimeScale
from lab.core.fault import Family, FaultSpec, Parameter, ParameterType
from lab.faults.rows import ROWS

SCRAPE = "scrape"
"""The proxy between Prometheus and the pods: lab.slo.scrape_proxy."""

PAGER = "pager"
"""What the pager takes in and what it sends: lab.pager.trouble."""

LEASE_LAB_MINUTES = 10.0
_LAB_MINUTES = "LabMinutes"

APP = Parameter(
    "app", ParameterType.TEXT, "Pods whose label app matches this pattern: worker, `pa*`.", default="*"
)
METRIC = Parameter(
    "metric",
    ParameterType.TEXT,
    "Series whose metric name matches this pattern; the others stay as they are.",
    default="*",
)
ALERT = Parameter("alert", ParameterType.TEXT, "Alerts whose name matches this pattern.", default="*")


def ratio(name: str, meaning: str) -> Parameter:
    """A share or a probability, all by default."""
    return Parameter(name, ParameterType.NUMBER, meaning, default=1.0, unit="of 1", minimum=0, maximum=1)


SHARE = ratio("share", "The share of those pods that is hit; the seed chooses them by name.")
PROBABILITY = ratio("probability", "The share of those alerts that is hit; the seed chooses them.")


def span(name: str, meaning: str, default: float, least: float, most: float) -> Parameter:
    """A span in lab minutes; the suffix LabMinutes is added to its name."""
    return Parameter(
        name + _LAB_MINUTES,
        ParameterType.NUMBER,
        meaning,
        default=default,
        unit="lab minutes",
        minimum=least,
        maximum=most,
    )


def monitoring_spec(name: str, summary: str, *parameters: Parameter, on: str = "") -> FaultSpec:
    """A monitoring fault: it ends by itself after ten lab minutes. on: what `lab break --on` sets."""
    return FaultSpec(
        name,
        summary,
        parameters,
        family=Family.MONITORING,
        lease_lab_minutes=LEASE_LAB_MINUTES,
        on=on,
    )


class MonitoringFault:
    """A row with the parameters as they are; spans become `…Seconds`, in real seconds."""

    spec: FaultSpec
    medium = ROWS
    part: str

    def row(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        """What the part gets."""
        asked: dict[str, Any] = {}
        for name, value in parameters.items():
            if name.endswith(_LAB_MINUTES):
                asked[name.removesuffix(_LAB_MINUTES) + "Seconds"] = scale.real(minutes=value)
            else:
                asked[name] = value
        return asked
