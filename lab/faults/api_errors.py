"""The API server fails: an error of its own instead of an answer."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.api_fault import ApiFault, api_spec


class ApiErrors(ApiFault):
    """A request fails before it is carried out."""

    spec = api_spec(
        "api-errors",
        "The Kubernetes API fails with 500, 503 or 504; the request is not carried out.",
        Parameter(
            "error",
            ParameterType.TEXT,
            "500 InternalError, 503 ServiceUnavailable or 504 Timeout.",
            default="internal",
            choices=("internal", "unavailable", "timeout"),
        ),
        Parameter(
            "retryAfterSeconds",
            ParameterType.INTEGER,
            "The header Retry-After, which many clients wait for before they repeat; 0 for none.",
            default=0,
            unit="seconds",
            minimum=0,
            maximum=60,
        ),
    )
