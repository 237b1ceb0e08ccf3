"""A pod's wall clock, which may be off: what the pod stamps by it is off as well.

Spans go by the monotonic clock, and the lease by the database's: those stay right.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from lab.core.clock import SystemClock
from lab.shop.condition import WorkerCondition


class PodClock(SystemClock):
    """The machine's clock, off by as many seconds as the worker's condition says."""

    def __init__(self, condition: WorkerCondition) -> None:
        self._condition = condition

    def now(self) -> datetime:
        """The instant that this pod believes in, in UTC."""
        return super().now() + timedelta(seconds=self._condition.skew)

    def stamp(self, record: logging.LogRecord) -> bool:
        """A filter of log records: they carry this clock's time."""
        record.created += self._condition.skew
        record.msecs = record.created % 1 * 1000
        return True
