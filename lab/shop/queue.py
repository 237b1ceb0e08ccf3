"""The queue as the database shows it: gauges for Prometheus, and old orders cleaned away."""

from __future__ import annotations

import logging

import psycopg
from prometheus_client import CollectorRegistry

from lab.core.clock import Clock
from lab.metrics import catalogue
from lab.metrics.metric import gauge
from lab.shop.database import Database

log = logging.getLogger("shop.queue")
_EVERY_SECONDS = 1.0
_FRESH_SECONDS = 4.0
_CLEAN_EVERY = 30
_KEEP_MINUTES = 10


class QueueGauges:
    """Reads every partition's queue once a second; an idle partition is 0. No answer, no number."""

    def __init__(self, database: Database, clock: Clock, registry: CollectorRegistry) -> None:
        self._database = database
        self._clock = clock
        self._orders = gauge(catalogue.QUEUE_ORDERS, registry)
        self._age = gauge(catalogue.QUEUE_OLDEST_AGE, registry)
        self._attempts = gauge(catalogue.QUEUE_ATTEMPTS, registry)
        self._sessions = gauge(catalogue.DATABASE_SESSIONS, registry)
        self._read_at = float("-inf")

    @property
    def fresh(self) -> bool:
        """Whether the database has answered within the last seconds."""
        return self._clock.monotonic() - self._read_at < _FRESH_SECONDS

    async def read(self) -> None:
        """Set the gauges once. Raises psycopg.Error."""
        rows = await self._database.rows(
            """
            SELECT p.partition, count(o.id),
                   coalesce(extract(epoch FROM clock_timestamp() - min(o.created_at)), 0)::float8,
                   coalesce(max(o.attempts), 0)
            FROM shop.partitions p
            LEFT JOIN shop.orders o ON o.partition = p.partition AND o.confirmed_at IS NULL
            GROUP BY p.partition
            """
        )
        for state, sessions in await self._database.rows(
            """
            SELECT state, count(pid) FROM (VALUES ('active'), ('waiting'), ('idle')) AS known(state)
            LEFT JOIN (
                SELECT pid, CASE WHEN state <> 'active' THEN 'idle'
                                 WHEN wait_event_type = 'Lock' THEN 'waiting' ELSE 'active' END AS state
                FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND datname = current_database()
                    AND pid <> pg_backend_pid()
            ) AS clients USING (state)
            GROUP BY state
            """
        ):
            self._sessions.labels(state).set(sessions)
        for partition, orders, age, attempts in rows:
            self._attempts.labels(partition).set(attempts)
            self._orders.labels(partition).set(orders)
            self._age.labels(partition).set(max(0.0, age))
        self._read_at = self._clock.monotonic()

    async def run(self) -> None:
        """Read and clean, for ever."""
        rounds = 0
        while True:
            try:
                await self.read()
                if rounds % _CLEAN_EVERY == 0:
                    await self._clean()
            except psycopg.Error as error:
                log.warning("the queue cannot be read: %s", str(error).strip().partition("\n")[0])
                self._orders.clear()
                self._age.clear()
                self._attempts.clear()
                self._sessions.clear()
            rounds += 1
            await self._clock.sleep(_EVERY_SECONDS)

    async def _clean(self) -> None:
        await self._database.rows(
            "DELETE FROM shop.orders WHERE confirmed_at < now() - make_interval(mins => %s)", (_KEEP_MINUTES,)
        )
