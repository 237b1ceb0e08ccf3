"""How many workers the shop has, what the start of one costs, and how many nodes there may be."""

from __future__ import annotations

from typing import Final

PARTITIONS = 8
"""Of the queue, and as many workers, unless a lab asks for more."""

MOST_WORKERS = 40
"""The database has connections for so many: two for each worker, of 100."""

MOST_NODES = 5
"""Of a lab's cluster."""

CHEAP: Final = "cheap"
DEAR: Final = "dear"
"""What a worker's start costs: nothing, or a price list that PostgreSQL computes (see lab.shop.warming)."""
