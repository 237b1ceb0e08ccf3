"""How far and how fast an autoscaler may go: stabilization windows, rates, minimum and maximum.

Source: pkg/controller/podautoscaler/horizontal.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from lab.kube.objects import KubeObject
from lab.localkube.registry.defaults.autoscaling import scale_down_rules, scale_up_rules

DOWNSCALE_STABILIZATION_SECONDS = 300.0
"""How long a higher recommendation keeps the count up, where the object does not say."""
SCALE_UP_FACTOR, SCALE_UP_MINIMUM = 2, 4
"""Without a behavior: at most the double at once, but four are always allowed."""

_RETENTION_SECONDS = 3600.0
"""The longest window that an object may ask for; longer ago than that nothing is looked at."""

_UP = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_DOWN = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
_STEADY = ("ReadyForNewScale", "recommended size matches current size")
_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_TOO_FAST = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_TOO_FAST_DOWN = (
    "ScaleDownLimit",
    "the desired replica count is decreasing faster than the maximum scale rate",
)

Why = tuple[str, str]
"""A condition's reason and message."""
Timed = tuple[float, int]
"""A monotonic instant in seconds, and a count of replicas."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """minimum and maximum: of the object. current: the scale's replicas now."""

    minimum: int
    maximum: int
    current: int


@dataclass(frozen=True, slots=True)
class Decision:
    """replicas: the count to go to. able: why the recommendation was taken or held. limit: what cut it."""

    replicas: int
    able: Why
    limited: bool
    limit: Why


@dataclass(slots=True)
class History:
    """What an autoscaler recommended and did. Kept in memory, as upstream does."""

    recommendations: list[Timed] = field(default_factory=list)
    ups: list[Timed] = field(default_factory=list)
    downs: list[Timed] = field(default_factory=list)

    def begin(self, now: float, current: int) -> None:
        """Take the present count for the first recommendation."""
        if not self.recommendations:
            self.recommendations.append((now, current))

    def decide(self, now: float, bounds: Bounds, desired: int, behavior: KubeObject | None) -> Decision:
        """What becomes of a count that the metrics ask for."""
        if behavior is None:
            held, able = self._stabilize(now, desired)
            count, limit = _within_bounds(bounds, held)
        else:
            held, able = self._stabilize_both_ways(now, bounds.current, desired, behavior)
            count, limit = self._within_rates(now, bounds, held, behavior)
        self.recommendations = [(at, n) for at, n in self.recommendations if now - at <= _RETENTION_SECONDS]
        self.recommendations.append((now, desired))
        return Decision(count, able if held != desired else _STEADY, count != held, limit)

    def scaled(self, now: float, before: int, after: int) -> None:
        """Remember a change that was made."""
        events = self.ups if after > before else self.downs
        events[:] = [(at, n) for at, n in events if now - at <= _RETENTION_SECONDS]
        events.append((now, abs(after - before)))

    def _stabilize(self, now: float, desired: int) -> tuple[int, Why]:
        recent = (n for at, n in self.recommendations if now - at <= DOWNSCALE_STABILIZATION_SECONDS)
        return max([desired, *recent]), _DOWN

    def _stabilize_both_ways(
        self, now: float, current: int, desired: int, behavior: KubeObject
    ) -> tuple[int, Why]:
        """The present count, brought between the lowest recent wish to grow and the highest to shrink."""
        up = scale_up_rules(behavior.get("scaleUp"))["stabilizationWindowSeconds"]
        down = (behavior.get("scaleDown") or {}).get("stabilizationWindowSeconds")
        down = DOWNSCALE_STABILIZATION_SECONDS if down is None else down
        lowest = min([desired, *(n for at, n in self.recommendations if now - at < up)])
        highest = max([desired, *(n for at, n in self.recommendations if now - at < down)])
        return min(max(current, lowest), highest), _UP if desired >= current else _DOWN

    def _within_rates(
        self, now: float, bounds: Bounds, desired: int, behavior: KubeObject
    ) -> tuple[int, Why]:
        if desired > bounds.current:
            rules = scale_up_rules(behavior.get("scaleUp"))
            limit = max(bounds.current, self._rate(now, bounds.current, rules, up=True))
            most, why = (limit, _TOO_FAST) if bounds.maximum > limit else (bounds.maximum, _TOO_MANY)
            return (most, why) if desired > most else (desired, _WITHIN)
        if desired < bounds.current:
            rules = scale_down_rules(behavior.get("scaleDown"))
            limit = min(bounds.current, self._rate(now, bounds.current, rules, up=False))
            least, why = (limit, _TOO_FAST_DOWN) if bounds.minimum < limit else (bounds.minimum, _TOO_FEW)
            return (least, why) if desired < least else (desired, _WITHIN)
        return desired, _WITHIN

    def _rate(self, now: float, current: int, rules: KubeObject, *, up: bool) -> int:
        """The count that the policies of one direction allow."""
        select = rules["selectPolicy"]
        if select == "Disabled":
            return current
        counts: list[int] = []
        for policy in rules["policies"]:
            period, value = policy["periodSeconds"], policy["value"]
            start = current - _changes(self.ups, now, period) + _changes(self.downs, now, period)
            if policy["type"] == "Pods":
                counts.append(start + value if up else start - value)
            else:
                share = start * (1 + value / 100) if up else start * (1 - value / 100)
                counts.append(math.ceil(share) if up else int(share))
        return max(counts) if up == (select == "Max") else min(counts)


def _changes(events: Iterable[Timed], now: float, period: float) -> int:
    return sum(n for at, n in events if now - at < period)


def _within_bounds(bounds: Bounds, desired: int) -> tuple[int, Why]:
    limit = max(SCALE_UP_FACTOR * bounds.current, SCALE_UP_MINIMUM)
    most, why = (limit, _TOO_FAST) if bounds.maximum > limit else (bounds.maximum, _TOO_MANY)
    if desired < bounds.minimum:
        return bounds.minimum, _TOO_FEW
    return (most, why) if desired > most else (desired, _WITHIN)
