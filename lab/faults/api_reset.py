"""The connection breaks in the middle of an answer."""

from __future__ import annotations

from lab.faults.api_fault import ApiFault, api_spec


class ApiReset(ApiFault):
    """The request is carried out, a mutation too; half of the answer's body arrives, then a TCP reset."""

    spec = api_spec(
        "api-reset",
        "The connection is reset in the middle of the answer's body; the request was carried out.",
    )
