"""Filling a worker's price list, by a transaction that is dear on purpose: what makes a start expensive.

The nightly job leaves opening prices. They are good for the shop's first seconds, so that a lab comes up
quickly, and for ever where starts are to be cheap. After that, a price is what all changes since have made
of it. Computing that for all products takes PostgreSQL some 0.2 s of one processor, in a snapshot
(REPEATABLE READ), and the same transaction counts who has taken the list. A lock lets one be computed at a
time, to spare the database. But the snapshot is taken before the wait for that lock, so whoever has waited
while another one committed conflicts with it: the work was for nothing, and is done again. One start does
not hurt. Of n at once, all but one fail in each round: n(n+1)/2 computations, one after the other, on any
machine.
"""

from __future__ import annotations

import logging
import random
import time

import psycopg
from prometheus_client import CollectorRegistry

from lab.core.staffing import CHEAP, DEAR
from lab.metrics import catalogue
from lab.metrics.metric import counter, gauge
from lab.shop.cache import PriceCache

log = logging.getLogger("shop.warming")
OPENING_SECONDS = 20.0
"""Opening prices are good for so long after the database was made; real seconds."""

_LONGEST_PAUSE_SECONDS = 0.1
_LOCK = 7_206_155
_OPENING = """
    SELECT product, opening_cents FROM shop.products
    WHERE %s OR snapshot_at > clock_timestamp() - make_interval(secs => %s)
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

    def __init__(
        self, cache: PriceCache, registry: CollectorRegistry, chance: random.Random, starts: str = DEAR
    ) -> None:
        """chance: draws the pauses after a conflict. starts: CHEAP ones do with opening prices for ever."""
        self.cache = cache
        self._chance = chance
        self._cheap = starts == CHEAP
        self._results = counter(catalogue.WORKER_WARMUPS, registry)
        for result in ("done", "conflict"):
            self._results.labels(result)
        gauge(catalogue.WORKER_CACHE_WARM, registry).set_function(lambda: float(cache.warm))

    def warm_up(self, connection: psycopg.Connection) -> bool:
        """Try once to fill the cache; False when another worker came in between. Raises psycopg.Error."""
        started = time.monotonic()
        prices = connection.execute(_OPENING, (self._cheap, OPENING_SECONDS)).fetchall()
        source = "opening"
        if not prices:
            source = "computed"
            try:
                prices = _compute(connection)
            except psycopg.errors.SerializationFailure:
                self._results.labels("conflict").inc()
                log.info("another worker took the price list in between: %.2f s for nothing", _since(started))
                return False
        self.cache.fill([(product, cents) for product, cents in prices])
        self._results.labels("done").inc()
        log.info("%s prices after %.2f s", source, _since(started))
        return True

    def pause(self) -> float:
        """Real seconds before the next attempt: a moment, and no longer after many failures."""
        return self._chance.uniform(0.0, _LONGEST_PAUSE_SECONDS)


def _compute(connection: psycopg.Connection) -> list[tuple[int, int]]:
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SET LOCAL statement_timeout = '300s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        prices: list[tuple[int, int]] = connection.execute(_PRICES).fetchall()
        connection.execute("UPDATE shop.price_list SET taken = taken + 1")
    return prices


def _since(started: float) -> float:
    return time.monotonic() - started
