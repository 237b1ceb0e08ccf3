"""What is the matter with a worker: nothing, slow, or hung. Set by its lease thread from chaos.directives.

A hung worker is really hung: its consumer thread blocks in `pass_` on a condition variable, as a thread does
that waits for a lock whose owner will not give it back. Everything else in the pod goes on: the lease, the
probes, the metrics.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Slowness:
    """A slow worker does `orders_per_second`; when its oldest order is `peak_seconds` old, it catches up."""

    orders_per_second: float
    peak_seconds: float


@dataclass(frozen=True, slots=True)
class Directive:
    """One row of chaos.directives that concerns this worker. mode: hang or slow."""

    id: str
    mode: str
    parameters: Mapping[str, Any]


class WorkerCondition:
    """Shared by the two threads of a worker."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._hung = False
        self._slow: Slowness | None = None

    @property
    def hung(self) -> bool:
        """Whether the consumer is, or will be at its next order, blocked."""
        return self._hung

    @property
    def slow(self) -> Slowness | None:
        """How slowly to work; None means as fast as one can."""
        return self._slow

    def follow(self, directives: Iterable[Directive]) -> None:
        """Take on what is asked; whatever is asked no longer ends. Unknown modes are ignored."""
        hung, slow = False, None
        for directive in directives:
            if directive.mode == "hang":
                hung = True
            elif directive.mode == "slow":
                slow = Slowness(
                    max(0.01, float(directive.parameters.get("ordersPerSecond", 1.0))),
                    max(0.0, float(directive.parameters.get("peakSeconds", 2.0))),
                )
        with self._changed:
            self._hung, self._slow = hung, slow
            self._changed.notify_all()

    def pass_(self) -> None:
        """Return at once in a worker that works; block in one that is hung until it is cured."""
        with self._changed:
            while self._hung:
                self._changed.wait()
