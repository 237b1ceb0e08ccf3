"""Eventual consistency: a listing shows for a while what was there before."""

from __future__ import annotations

from lab.faults.api_fault import seconds
from lab.faults.store_fault import StoreFault, store_spec


class StoreStaleList(StoreFault):
    """A listing that was asked for before is answered as it was, until that is too old."""

    spec = store_spec(
        "store-stale-list",
        "Listings of the object store lag behind: deleted objects are still shown, new ones not yet.",
        seconds("ageSeconds", "How long an earlier answer to a listing is given again.", 10.0, 0.1, 300),
    )
