"""Objects under hold: they cannot be deleted or overwritten, whoever asks."""

from __future__ import annotations

from lab.faults.store_fault import PREFIX, SHARE, StoreFault, store_spec


class StoreHold(StoreFault):
    """AccessDenied to every delete and overwrite of a key under hold; reads show nothing of it."""

    spec = store_spec(
        "store-hold",
        "Some objects are under hold: deleting or overwriting them is AccessDenied.",
        SHARE,
        PREFIX,
    )
