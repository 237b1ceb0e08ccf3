"""The thread that holds a worker's partition: a row in shop.partitions with an expiry, often renewed.

It lives on while the consumer hangs, so a hung worker keeps its partition and nobody takes its orders over.
A pod that stops gives the partition back at once; one that is killed loses it when the lease expires.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import psycopg

from lab.core.clock import Clock
from lab.core.staffing import PARTITIONS
from lab.shop.condition import Directive, WorkerCondition
from lab.shop.database import connect
from lab.shop.leak import Leak
from lab.shop.progress import Progress
from lab.shop.spill import Spill

log = logging.getLogger("shop.lease")
LEASE_SECONDS = 3.0
_BEAT_SECONDS = 0.4
_STANDBY_SECONDS = 0.15
_FRESH_SECONDS = 2.5


class Lease(threading.Thread):
    """Finds a free partition, keeps it, and passes on what chaos.directives asks of this worker."""

    def __init__(
        self,
        url: str,
        pod: str,
        condition: WorkerCondition,
        progress: Progress,
        clock: Clock,
        partitions: int = PARTITIONS,
        disk: Path | None = None,
    ) -> None:
        super().__init__(name="lease", daemon=True)
        self._url = url
        self._pod = pod
        self._condition = condition
        self._progress = progress
        self._clock = clock
        self._partitions = partitions
        self._leak = Leak(clock)
        self._spill = Spill(disk, clock)
        self._stopping = threading.Event()
        self._beat_at = float("-inf")
        self._partition: int | None = None
        self._before: int | None = None

    @property
    def partition(self) -> int | None:
        """The partition held now. None without one, and when the lease may have run out unnoticed."""
        if self._clock.monotonic() - self._beat_at >= LEASE_SECONDS:
            return None
        return self._partition

    @property
    def fresh(self) -> bool:
        """Whether the last heartbeat reached the database moments ago."""
        return self._clock.monotonic() - self._beat_at < _FRESH_SECONDS

    def stop(self) -> None:
        """Give the partition back and end; returns when done, or after a second."""
        self._stopping.set()
        self.join(1.0)

    def run(self) -> None:
        connection: psycopg.Connection | None = None
        told = ""
        while not self._stopping.is_set():
            try:
                if connection is None or connection.closed:
                    connection = connect(self._url, f"{self._pod}-lease", self._partitions)
                self._beat(connection)
                told = ""
            except psycopg.Error as error:
                reason = str(error).strip().partition("\n")[0]
                if reason != told:
                    log.warning("no heartbeat: %s", reason)
                    told = reason
                if connection is not None:
                    connection.close()
                    connection = None
            self._stopping.wait(_STANDBY_SECONDS if self._partition is None else _BEAT_SECONDS)
        self._release(connection)

    def _beat(self, connection: psycopg.Connection) -> None:
        started = self._clock.monotonic()
        held = self._renew(connection) if self._partition is not None else None
        if held is None:
            held = self._take(connection)
            if held is not None:
                log.info("took partition %d", held)
        self._condition.follow(self._ask(connection, held))
        self._leak.follow(self._condition.leaking)
        self._spill.follow(self._condition.spilling)
        # Only now may the consumer begin: a partition that hangs its worker does so before the first order.
        self._beat_at, self._partition = started, held
        self._before = self._before if held is None else held
        self._progress.hold(held)

    def _ask(self, connection: psycopg.Connection, held: int | None) -> list[Directive]:
        """The directives for this worker; and in the same breath, what time the database has."""
        before = self._clock.now()
        rows = connection.execute(
            "SELECT extract(epoch FROM clock_timestamp())::float8, id, mode, parameters"
            " FROM (SELECT) AS once LEFT JOIN chaos.directives ON pod = %s OR partition = %s",
            (self._pod, held),
        ).fetchall()
        self._progress.measured((before.timestamp() + self._clock.now().timestamp()) / 2 - rows[0][0])
        return [Directive(*row) for _, *row in rows if row[0] is not None]

    def _renew(self, connection: psycopg.Connection) -> int | None:
        row = connection.execute(
            "UPDATE shop.partitions SET lease_expires = clock_timestamp() + make_interval(secs => %s)"
            " WHERE partition = %s AND holder = %s RETURNING partition",
            (LEASE_SECONDS, self._partition, self._pod),
        ).fetchone()
        if row is None:
            log.warning("lost partition %s", self._partition)
            return None
        return int(row[0])

    def _take(self, connection: psycopg.Connection) -> int | None:
        """A free partition: the one that is ours already, or was until the database lost its rows, first."""
        row = connection.execute(
            """
            UPDATE shop.partitions
            SET holder = %s, lease_expires = clock_timestamp() + make_interval(secs => %s)
            WHERE partition = (
                SELECT partition FROM shop.partitions
                WHERE holder IS NULL OR holder = %s OR lease_expires < clock_timestamp()
                ORDER BY
                    holder IS NOT DISTINCT FROM %s DESC, partition IS NOT DISTINCT FROM %s DESC, partition
                LIMIT 1 FOR UPDATE SKIP LOCKED
            )
            RETURNING partition
            """,
            (self._pod, LEASE_SECONDS, self._pod, self._pod, self._before),
        ).fetchone()
        return None if row is None else int(row[0])

    def _release(self, connection: psycopg.Connection | None) -> None:
        held, self._partition = self._partition, None
        if connection is None or connection.closed:
            return
        try:
            if held is not None:
                connection.execute(
                    "UPDATE shop.partitions SET holder = NULL, lease_expires = '-infinity'"
                    " WHERE partition = %s AND holder = %s",
                    (held, self._pod),
                )
                log.info("gave partition %d back", held)
        except psycopg.Error as error:
            log.warning("the partition expires by itself: %s", str(error).strip())
        finally:
            connection.close()
