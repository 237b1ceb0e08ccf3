"""The API server does what it was asked, and its answer is lost."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.api_fault import ApiFault, api_spec


class ApiLostResponse(ApiFault):
    """Mutations only: a read whose answer is lost is a hang."""

    spec = api_spec(
        "api-lost-response",
        "A mutation is carried out by the Kubernetes API, and its answer never arrives.",
        Parameter(
            "ending",
            ParameterType.TEXT,
            "What the client sees instead: silence until it gives up or the fault ends, or a reset at once.",
            default="silence",
            choices=("silence", "reset"),
        ),
    )
