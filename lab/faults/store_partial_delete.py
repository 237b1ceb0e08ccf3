"""A batch delete fails for some of its keys; its answer is a 200 all the same."""

from __future__ import annotations

from lab.faults.store_fault import SHARE, StoreFault, store_spec


class StorePartialDelete(StoreFault):
    """Who does not read the answer's Error entries believes that everything is gone."""

    spec = store_spec(
        "store-partial-delete",
        "A batch delete answers 200 and has failed for some keys with InternalError; they are still there.",
        SHARE,
    )
