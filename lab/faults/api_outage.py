"""A part of the API is down: some verbs, some resources, or all of it."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.api_fault import CLIENT, RESOURCES, VERBS, ApiFault, api_spec


class ApiOutage(ApiFault):
    """Everything selected fails, without exception, and its open watches break."""

    spec = api_spec(
        "api-outage",
        "A part of the Kubernetes API is down: every request of it fails, its open watches break.",
        Parameter(
            "ending",
            ParameterType.TEXT,
            "503 ServiceUnavailable, or a reset of the connection without an answer.",
            default="unavailable",
            choices=("unavailable", "reset"),
        ),
        common=(CLIENT, VERBS, RESOURCES),
    )
