"""What is the matter with a worker: nothing, slow, leaking, spilling, off in time, or hung.

Its lease thread sets it.

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
    """One row of chaos.directives that concerns this program. mode: see schema.sql."""

    id: str
    mode: str
    parameters: Mapping[str, Any]


class WorkerCondition:
    """Shared by the two threads of a worker."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._hung = False
        self._slow: Slowness | None = None
        self._leaking = 0.0
        self._skew = 0.0
        self._spilling = 0.0
        self._cold: set[str] = set()
        self._chilled: frozenset[str] = frozenset()
        self._thawed = False

    @property
    def hung(self) -> bool:
        """Whether the consumer is, or will be at its next order, blocked."""
        return self._hung

    @property
    def slow(self) -> Slowness | None:
        """How slowly to work; None means as fast as one can."""
        return self._slow

    @property
    def leaking(self) -> float:
        """Bytes of memory that are lost each second."""
        return self._leaking

    @property
    def spilling(self) -> float:
        """Bytes of the pod's disk that are written each second, and never removed."""
        return self._spilling

    @property
    def skew(self) -> float:
        """Seconds by which the pod's wall clock is ahead; negative: behind."""
        return self._skew

    def follow(self, directives: Iterable[Directive]) -> None:
        """Take on what is asked; whatever is asked no longer ends. Unknown modes are ignored."""
        hung, slow, leaking, skew, spilling = False, None, 0.0, 0.0, 0.0
        chilled: set[str] = set()
        for directive in directives:
            if directive.mode == "hang":
                hung = True
            elif directive.mode == "slow":
                slow = Slowness(
                    max(0.01, float(directive.parameters.get("ordersPerSecond", 1.0))),
                    max(0.0, float(directive.parameters.get("peakSeconds", 2.0))),
                )
            elif directive.mode == "leak":
                leaking += max(0.0, float(directive.parameters.get("bytesPerSecond", 0.0)))
            elif directive.mode == "fill-disk":
                spilling += max(0.0, float(directive.parameters.get("bytesPerSecond", 0.0)))
            elif directive.mode == "clock-skew":
                skew += float(directive.parameters.get("seconds", 0.0))
            elif directive.mode == "cold-cache":
                chilled.add(directive.id)
        with self._changed:
            self._hung, self._slow, self._leaking, self._skew = hung, slow, leaking, skew
            self._spilling = spilling
            self._cold |= chilled - self._chilled
            self._thawed = not chilled and (self._thawed or bool(self._chilled))
            self._chilled = frozenset(chilled)
            self._changed.notify_all()

    @property
    def chilled(self) -> frozenset[str]:
        """Identities of what has made, or is about to make, the cache cold, for as long as it is asked."""
        return self._chilled

    def take_thawed(self) -> bool:
        """Whether the cache is to be given back now, as nothing asks any longer that it be cold."""
        with self._changed:
            thawed, self._thawed = self._thawed, False
            return thawed

    def take_cold(self) -> bool:
        """Whether the cache is to be thrown away now: once for each time that it is asked."""
        with self._changed:
            asked = bool(self._cold)
            self._cold.clear()
            return asked

    def pass_(self) -> None:
        """Return at once in a worker that works; block in one that is hung until it is cured."""
        with self._changed:
            while self._hung:
                self._changed.wait()
