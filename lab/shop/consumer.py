"""The thread that confirms orders: takes some of its partition's oldest, works on them, marks them.

It needs the price list for that. While that is cold, it warms it, and takes no orders.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from typing import Any

import psycopg

from lab.core.clock import Clock
from lab.core.staffing import PARTITIONS
from lab.errors import LabError
from lab.shop.condition import Slowness, WorkerCondition
from lab.shop.database import connect
from lab.shop.journal import OrderJournal
from lab.shop.lease import Lease
from lab.shop.progress import Progress
from lab.shop.warming import Warming

log = logging.getLogger("shop.consumer")
_IDLE_SECONDS = 0.12
_WORK_SECONDS = 0.008
_BATCH = 10
_CAUGHT_UP = 0.25
_AUTHORIZATION = re.compile(r"auth-[0-9a-f]{12}")


class PoisonedOrderError(LabError):
    """An order that cannot be worked on, however often one tries."""

    exit_code = 1

    def __init__(self, order: int, code: str) -> None:
        super().__init__(
            f"order {order} cannot be confirmed: {code!r} is no authorization of payments",
            hint="set it aside: POST /orders/{id}/set-aside",
        )
        self.order = order


class Consumer(threading.Thread):
    """Works for as long as the process lives; where its condition says hung, it blocks."""

    def __init__(
        self,
        url: str,
        pod: str,
        lease: Lease,
        condition: WorkerCondition,
        progress: Progress,
        warming: Warming,
        journal: OrderJournal,
        clock: Clock,
        partitions: int = PARTITIONS,
    ) -> None:
        super().__init__(name="consumer", daemon=True)
        self._url = url
        self._pod = pod
        self._lease = lease
        self._condition = condition
        self._progress = progress
        self._warming = warming
        self._clock = clock
        self._journal = journal
        self._partitions = partitions
        self.failure: PoisonedOrderError | None = None
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
            if self._condition.take_cold():
                self._warming.cache.drop()
            elif self._condition.take_thawed():
                self._warming.cache.restore()
            cold = not self._warming.cache.warm
            pause = _IDLE_SECONDS
            if cold or (partition is not None and partition == self._lease.partition):
                try:
                    if connection is None or connection.closed:
                        connection = connect(self._url, self._pod, self._partitions)
                    if cold:
                        pause = self._warm_up(connection)
                    elif partition is not None:
                        pause = self._work(connection, partition)
                except PoisonedOrderError as error:
                    self._fail(connection, error)
                    return
                except OSError as error:
                    log.warning("no orders: the journal is not written: %s", error)
                except psycopg.Error as error:
                    log.warning("no orders: %s", str(error).strip().partition("\n")[0])
                    if connection is not None:
                        connection.close()
                        connection = None
            self._stopping.wait(pause)
        if connection is not None:
            connection.close()

    def _warm_up(self, connection: psycopg.Connection) -> float:
        """Try to fill the price list, and say so to whoever has asked that it be cold; seconds to pause."""
        asked = list(self._condition.chilled)
        if not self._warming.warm_up(connection):
            return self._warming.pause()
        if asked:
            connection.execute("UPDATE chaos.directives SET done = true WHERE id = ANY(%s)", (asked,))
        return 0.0

    def _work(self, connection: psycopg.Connection, partition: int) -> float:
        """Confirm a batch; seconds to pause before the next."""
        slow = self._condition.slow
        limit = _BATCH if slow is None or self._catching_up else 1
        with connection.transaction():
            taken = connection.execute(
                """
                SELECT id, extract(epoch FROM clock_timestamp() - created_at)::float8, authorization_code,
                       amount_cents
                FROM shop.orders
                WHERE partition = %s AND confirmed_at IS NULL
                ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
                """,
                (partition, limit),
            ).fetchall()
            _check(taken)
            if taken:
                self._stopping.wait(_WORK_SECONDS * len(taken))
                self._journal.add(self._clock.now(), partition, [order for order, *_ in taken])
                connection.execute(
                    "UPDATE shop.orders SET confirmed_at = %s, confirmed_by = %s,"
                    " product = done.product"
                    " FROM unnest(%s::bigint[], %s::integer[]) AS done(id, product)"
                    " WHERE orders.id = done.id",
                    (
                        self._clock.now(),
                        self._pod,
                        [order for order, *_ in taken],
                        [self._warming.cache.product(amount) for *_, amount in taken],
                    ),
                )
        if taken:
            self._progress.confirmed(partition, len(taken))
        if slow is None:
            self._catching_up = False
            return 0.0 if len(taken) == limit else _IDLE_SECONDS
        return self._pace(slow, taken[0][1] if taken else 0.0)

    def _fail(self, connection: psycopg.Connection | None, error: PoisonedOrderError) -> None:
        """Count the attempt, and end this program: it cannot go on without this order."""
        self.failure = error
        log.error("%s", error.message)
        if connection is None:
            return
        try:
            connection.execute("UPDATE shop.orders SET attempts = attempts + 1 WHERE id = %s", (error.order,))
        except psycopg.Error as away:
            log.warning("the attempt is not counted: %s", str(away).strip().partition("\n")[0])
        finally:
            connection.close()

    def _pace(self, slow: Slowness, age: float) -> float:
        """How long a slow worker pauses, given the age in seconds of the order it did last."""
        if age >= slow.peak_seconds:
            self._catching_up = True
        elif age <= slow.peak_seconds * _CAUGHT_UP:
            self._catching_up = False
        if self._catching_up:
            return 0.0
        return max(0.0, min(1.0 / slow.orders_per_second, slow.peak_seconds - age))


def _check(taken: Sequence[tuple[Any, ...]]) -> None:
    """Raise PoisonedOrderError for the first order that payments has not authorized."""
    for order, _, code, _ in taken:
        if _AUTHORIZATION.fullmatch(code) is None:
            raise PoisonedOrderError(order, code)
