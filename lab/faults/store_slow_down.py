"""The store throttles: 503 SlowDown, the code that S3 clients back off for."""

from __future__ import annotations

from lab.core.fault import Parameter, ParameterType
from lab.faults.store_fault import PROBABILITY, VERBS, StoreFault, store_spec


class StoreSlowDown(StoreFault):
    """Requests beyond an allowed rate are turned away before anything is done."""

    spec = store_spec(
        "store-slow-down",
        "The object store throttles: 503 SlowDown to what comes faster than it allows.",
        Parameter(
            "allowedPerSecond",
            ParameterType.NUMBER,
            "So many requests of a client still pass; with 0 none does.",
            default=0.0,
            unit="requests per second",
            minimum=0,
            maximum=1000,
        ),
        VERBS,
        PROBABILITY,
    )
