"""The resource version, or the continue token, is too old: 410."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.api_fault import CLIENT, PROBABILITY, RESOURCES, ApiFault, api_spec


class ApiGone(ApiFault):
    """As after a compaction of etcd: who resumes must list again."""

    spec = api_spec(
        "api-gone",
        "Resuming a watch or a paged list is answered 410 Gone; a new list works.",
        Parameter(
            "verbs",
            ParameterType.TEXT,
            "Watches that begin at a resource version, or lists that continue; both when absent.",
            choices=("watch", "list"),
            several=True,
        ),
        common=(CLIENT, RESOURCES, PROBABILITY),
    )
