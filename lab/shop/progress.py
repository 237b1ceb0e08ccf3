"""What Prometheus sees of a worker, for the partition that it holds."""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry

from lab.core.clock import Clock
from lab.metrics import catalogue
from lab.metrics.metric import counter, gauge


class Progress:
    """Told by the lease thread what is held and by the consumer what is confirmed."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._held = gauge(catalogue.WORKER_PARTITION, registry)
        self._processed = counter(catalogue.WORKER_PROCESSED, registry)
        self._last = gauge(catalogue.WORKER_LAST_PROGRESS, registry)
        self._offset = gauge(catalogue.WORKER_CLOCK_OFFSET, registry)
        self._offset.set(float("nan"))
        self._partition: int | None = None
        self._lock = threading.Lock()

    def hold(self, partition: int | None) -> None:
        """Say which partition is held from now on. Taking one counts as progress."""
        with self._lock:
            if partition == self._partition:
                return
            if self._partition is not None:
                self._held.remove(self._partition)
                self._last.remove(self._partition)
            if partition is not None:
                self._held.labels(partition).set(1)
                self._processed.labels(partition)
                self._last.labels(partition).set(self._clock.now().timestamp())
            self._partition = partition

    def measured(self, clock_offset: float) -> None:
        """Say by how many seconds this pod's wall clock is ahead of the database's."""
        self._offset.set(clock_offset)

    def confirmed(self, partition: int, orders: int) -> None:
        """Count orders that were just confirmed."""
        with self._lock:
            self._processed.labels(partition).inc(orders)
            if partition == self._partition:
                self._last.labels(partition).set(self._clock.now().timestamp())
