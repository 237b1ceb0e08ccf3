"""How long a container that ended waits for its next start.

Upstream: the first restart is immediate, then 10, 20, 40 ... at most 300 s, and ten quiet minutes forgive
everything. Here the cap is a parameter, and the other two shrink with it: with a cap of 30 s the row is
1, 2, 4 ... 30 s, forgiven after a minute. Source: k8s.io/client-go/util/flowcontrol (backoff.go).
"""

from __future__ import annotations

from dataclasses import dataclass

UPSTREAM_BASE = 10.0
UPSTREAM_CAP = 300.0


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """The row of delays. `cap` is the longest, in seconds (> 0)."""

    cap: float = UPSTREAM_CAP

    @property
    def base(self) -> float:
        """The first delay that is not zero, in seconds."""
        return min(UPSTREAM_BASE, self.cap * UPSTREAM_BASE / UPSTREAM_CAP)

    @property
    def forgiven_after(self) -> float:
        """Seconds since the last start after which an end counts as the first."""
        return 2 * self.cap


class Backoff:
    """The state of one container. Times are of one monotonic clock."""

    def __init__(self, policy: BackoffPolicy) -> None:
        self.policy = policy
        self.delay = 0.0
        """The present delay in seconds; 0 until there was a restart."""
        self._updated = 0.0

    def until(self, ended: float) -> float:
        """When a container that ended at `ended` may start again."""
        if self.delay and ended - self._updated > self.policy.forgiven_after:
            self.delay = 0.0
        return ended + self.delay

    def started(self, now: float) -> None:
        """Note a restart; the next one waits longer."""
        self.delay = min(self.policy.cap, self.delay * 2) if self.delay else self.policy.base
        self._updated = now
