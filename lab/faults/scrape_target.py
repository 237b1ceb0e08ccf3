"""What all faults of Prometheus' scrapes share: whom they hit, and which of its series.

Patterns have shell wildcards: `*`, `?`, `[...]`.
"""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType

SCRAPE = "scrape"
"""The part that carries them out: the proxy between Prometheus and the pods (`lab.slo.scrape_proxy`)."""

LEASE_LAB_MINUTES = 10.0

APP = Parameter(
    "app",
    ParameterType.TEXT,
    "Pods whose label app matches this pattern, such as worker or `pa*`.",
    default="*",
)
SHARE = Parameter(
    "share",
    ParameterType.NUMBER,
    "Share of those pods that are hit; the seed chooses them by name.",
    default=1.0,
    unit="ratio",
    minimum=0,
    maximum=1,
)
METRIC = Parameter(
    "metric",
    ParameterType.TEXT,
    "Series whose metric name matches this pattern; the others stay as they are.",
    default="*",
)
