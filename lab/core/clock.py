"""Time, injected. Nothing else in the lab reads a clock or sleeps.

A lab hour lasts `hour_seconds` of real time (60 by default), so a lab minute is one second. Every window,
delay and toil figure is a function of that scale.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TimeScale:
    """How fast lab time passes. `hour_seconds` is the real length of a lab hour, in seconds (> 0)."""

    hour_seconds: float = 60.0

    def __post_init__(self) -> None:
        if not self.hour_seconds > 0:
            raise ValueError(f"a lab hour must last more than 0 s, not {self.hour_seconds}")

    def real(self, *, hours: float = 0.0, minutes: float = 0.0, seconds: float = 0.0) -> float:
        """Real seconds that a span of lab time takes."""
        return (hours + minutes / 60 + seconds / 3600) * self.hour_seconds

    def lab_minutes(self, real_seconds: float) -> float:
        """Lab minutes that pass in a span of real seconds."""
        return real_seconds / self.hour_seconds * 60


class Clock(Protocol):
    """Where time comes from: the system's, or a test's."""

    def now(self) -> datetime:
        """The current instant, with time zone UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary origin, never going back."""

    async def sleep(self, seconds: float) -> None:
        """Wait that many real seconds without blocking the loop."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def rfc3339(instant: datetime) -> str:
    """The instant as RFC 3339 in UTC with microseconds, as Kubernetes' MicroTime writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> datetime:
    """Read an RFC 3339 instant; nanoseconds are cut to microseconds.

    Raises ValueError when the text is not one or has no time zone.
    """
    head, _, fraction = text.strip().replace("z", "Z").partition(".")
    if fraction:
        digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))] or fraction
        zone = fraction[len(digits) :]
        text = f"{head}.{digits[:6].ljust(6, '0')}{zone}"
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return parsed.astimezone(UTC)
