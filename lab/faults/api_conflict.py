"""Somebody else was quicker: 409 on update and patch."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.api_fault import CLIENT, PROBABILITY, RESOURCES, ApiFault, api_spec


class ApiConflict(ApiFault):
    """The request is not carried out; reading the object anew does not help while the fault lasts."""

    spec = api_spec(
        "api-conflict",
        "Updates and patches are answered 409 Conflict, as if the object had just been modified.",
        Parameter(
            "verbs",
            ParameterType.TEXT,
            "Only updates, or only patches; both when absent.",
            choices=("update", "patch"),
            several=True,
        ),
        common=(CLIENT, RESOURCES, PROBABILITY),
    )
