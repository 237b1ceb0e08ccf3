"""Listing takes its time."""

from __future__ import annotations

from lab.faults.api_fault import seconds
from lab.faults.store_fault import PROBABILITY, StoreFault, store_spec


class StoreSlowList(StoreFault):
    """Every page of a listing waits."""

    spec = store_spec(
        "store-slow-list",
        "Listings of the object store are slow: every page waits.",
        seconds("delaySeconds", "How long each page waits, in real time.", 2.0, 0, 120),
        PROBABILITY,
    )
