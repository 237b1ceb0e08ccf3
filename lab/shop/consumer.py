"""The thread that confirms orders: takes some of its partition's oldest, works on them, marks them."""

from __future__ import annotations

import logging
import threading

import psycopg

from lab.shop.condition import Slowness, WorkerCondition
from lab.shop.database import connect
from lab.shop.lease import Lease
from lab.shop.progress import Progress

log = logging.getLogger("shop.consumer")
_IDLE_SECONDS = 0.12
_WORK_SECONDS = 0.008
_BATCH = 10
_CAUGHT_UP = 0.25


class Consumer(threading.Thread):
    """Works for as long as the process lives; where its condition says hung, it blocks."""

    def __init__(
        self, url: str, pod: str, lease: Lease, condition: WorkerCondition, progress: Progress
    ) -> None:
        super().__init__(name="consumer", daemon=True)
        self._url = url
        self._pod = pod
        self._lease = lease
        self._condition = condition
        self._progress = progress
        self._stopping = threading.Event()
        self._catching_up = False

    def stop(self) -> None:
        """End after the orders in hand; returns when done, or soon when it hangs."""
        self._stopping.set()
        self.join(0.0 if self._condition.hung else 0.5)

    def run(self) -> None:
        connection: psycopg.Connection | None = None
        while not self._stopping.is_set():
            partition = self._lease.partition
            self._condition.pass_()
            pause = _IDLE_SECONDS
            if partition is not None and partition == self._lease.partition:
                try:
                    if connection is None or connection.closed:
                        connection = connect(self._url, self._pod)
                    pause = self._work(connection, partition)
                except psycopg.Error as error:
                    log.warning("no orders: %s", str(error).strip().partition("\n")[0])
                    if connection is not None:
                        connection.close()
                        connection = None
            self._stopping.wait(pause)
        if connection is not None:
            connection.close()

    def _work(self, connection: psycopg.Connection, partition: int) -> float:
        """Confirm a batch; seconds to pause before the next."""
        slow = self._condition.slow
        limit = _BATCH if slow is None or self._catching_up else 1
        with connection.transaction():
            taken = connection.execute(
                """
                SELECT id, extract(epoch FROM clock_timestamp() - created_at)::float8 FROM shop.orders
                WHERE partition = %s AND confirmed_at IS NULL
                ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
                """,
                (partition, limit),
            ).fetchall()
            if taken:
                self._stopping.wait(_WORK_SECONDS * len(taken))
                connection.execute(
                    "UPDATE shop.orders SET confirmed_at = clock_timestamp(), confirmed_by = %s"
                    " WHERE id = ANY(%s)",
                    (self._pod, [order for order, _ in taken]),
                )
        if taken:
            self._progress.confirmed(partition, len(taken))
        if slow is None:
            self._catching_up = False
            return 0.0 if len(taken) == limit else _IDLE_SECONDS
        return self._pace(slow, taken[0][1] if taken else 0.0)

    def _pace(self, slow: Slowness, age: float) -> float:
        """How long a slow worker pauses, given the age in seconds of the order it did last."""
        if age >= slow.peak_seconds:
            self._catching_up = True
        elif age <= slow.peak_seconds * _CAUGHT_UP:
            self._catching_up = False
        if self._catching_up:
            return 0.0
        return max(0.0, min(1.0 / slow.orders_per_second, slow.peak_seconds - age))
