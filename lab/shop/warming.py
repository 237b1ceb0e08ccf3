"""Filling a worker's price list, by a query that is dear on purpose: what makes a start expensive.

The nightly job leaves opening prices. They are good for the shop's first seconds, so that a lab comes up
quickly; after that, a price is what all changes since have made of it, and computing that for all products
takes PostgreSQL some 0.2 s of one processor. One start does not hurt. Many at once slow each other down and
everybody else, until they run into the time-out, throw away what is half done, and ask again.
"""

from __future__ import annotations

import logging
import time

import psycopg
from prometheus_client import CollectorRegistry

from lab.metrics import catalogue
from lab.metrics.metric import counter, gauge
from lab.shop.cache import PriceCache

log = logging.getLogger("shop.warming")
TIMEOUT_SECONDS = 2.0
"""A warm-up that takes longer is given up by the server."""

OPENING_SECONDS = 20.0
"""Opening prices are good for so long after the database was made; real seconds."""

_OPENING = """
    SELECT product, opening_cents FROM shop.products
    WHERE snapshot_at > clock_timestamp() - make_interval(secs => %s)
    ORDER BY opening_cents, product
"""
_PRICES = """
    WITH history AS (
        SELECT change.product, change.number, exp(sum(ln(earlier.factor))) AS factor
        FROM shop.price_changes change
        JOIN shop.price_changes earlier
            ON earlier.product = change.product AND earlier.number <= change.number
        GROUP BY change.product, change.number
    )
    SELECT product, greatest(
        1, round(opening_cents * (array_agg(factor ORDER BY number DESC))[1])
    )::bigint AS cents
    FROM shop.products JOIN history USING (product)
    GROUP BY product, opening_cents
    ORDER BY cents, product
"""


class Warming:
    """Fills one worker's cache, and counts how that went."""

    def __init__(self, cache: PriceCache, registry: CollectorRegistry) -> None:
        self.cache = cache
        self._results = counter(catalogue.WORKER_WARMUPS, registry)
        for result in ("done", "given-up"):
            self._results.labels(result)
        self._warm = gauge(catalogue.WORKER_CACHE_WARM, registry)
        self._warm.set_function(lambda: float(cache.warm))

    def warm_up(self, connection: psycopg.Connection) -> None:
        """Fill the cache. Raises psycopg.Error: QueryCanceled when it took longer than `TIMEOUT_SECONDS`."""
        started = time.monotonic()
        try:
            with connection.transaction():
                connection.execute(
                    "SELECT set_config('statement_timeout', %s, true)", (str(round(TIMEOUT_SECONDS * 1000)),)
                )
                prices = connection.execute(_OPENING, (OPENING_SECONDS,)).fetchall()
                computed = not prices
                if computed:
                    prices = connection.execute(_PRICES).fetchall()
        except psycopg.Error:
            self._results.labels("given-up").inc()
            raise
        self.cache.fill([(product, cents) for product, cents in prices])
        self._results.labels("done").inc()
        log.info("%s prices after %.2f s", "computed" if computed else "opening", time.monotonic() - started)
