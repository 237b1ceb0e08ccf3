"""What the shop promises its customers, as data: one service level indicator and its target each.

An indicator is a ratio of good events to all events, both counters that Prometheus has. Good is what a
customer would call good, so a hung worker shows here and a busy CPU does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.metrics.catalogue import ORDER_CONFIRMATION

GOOD_CONFIRMATION_SECONDS = 1.0
"""A customer who waits longer for the confirmation of an order counts as badly served; real seconds."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective. target: the promised share of good events, above 0 and below 1, over `period_days`
    lab days. good, total: PromQL selectors of counters; `good` counts a subset of `total`."""

    name: str
    target: float
    good: str
    total: str
    meaning: str
    period_days: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise ValueError(f"objective {self.name}: a target lies between 0 and 1, not {self.target}")

    @property
    def budget(self) -> float:
        """The share of events that may be bad: the error budget, 1 - target."""
        return round(1 - self.target, 12)


ORDER_CONFIRMATIONS = Objective(
    name="order-confirmations",
    target=0.995,
    good=f'{ORDER_CONFIRMATION.name}_bucket{{le="{GOOD_CONFIRMATION_SECONDS}"}}',
    total=f"{ORDER_CONFIRMATION.name}_count",
    meaning="An order is confirmed within a second.",
)

OBJECTIVES: tuple[Objective, ...] = (ORDER_CONFIRMATIONS,)
"""Every objective of the shop."""
