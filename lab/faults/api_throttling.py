"""The API server's own throttling, API Priority and Fairness: 429 in plain text with Retry-After.

A spent disruption budget is another 429: a Status object with the cause DisruptionBudget, no Retry-After.
"""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.api_fault import ApiFault, api_spec


class ApiThrottling(ApiFault):
    """Requests beyond an allowed rate are rejected before anything reads them."""

    spec = api_spec(
        "api-throttling",
        "The Kubernetes API throttles: 429 in plain text with Retry-After, as by Priority and Fairness.",
        Parameter(
            "retryAfterSeconds",
            ParameterType.INTEGER,
            "The header Retry-After.",
            default=1,
            unit="seconds",
            minimum=1,
            maximum=32,
        ),
        Parameter(
            "allowedPerSecond",
            ParameterType.NUMBER,
            "So many requests of a client still pass; with 0 none does.",
            default=0.0,
            unit="requests per second",
            minimum=0,
            maximum=1000,
        ),
    )
