"""The scorecard: four axes, each with its points, a colour, and the checks that gave it."""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.verdict import Axis, CheckResult, Grade, Severity, Verdict

GREEN_FROM = 0.8
YELLOW_FROM = 0.5
JUDGED = (Verdict.PASS, Verdict.FAIL)


@dataclass(frozen=True, slots=True)
class AxisScore:
    """One axis. share: earned of possible points, 0 to 1, None when no check could be judged.

    colour: green from 0.8, yellow from 0.5, else red; red whatever the share when a catastrophic safeguard
    was breached; grey when nothing was judged.
    """

    axis: Axis
    earned: float
    possible: int
    share: float | None
    colour: str
    checks: tuple[CheckResult, ...]

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that cost points."""
        return tuple(check for check in self.checks if check.verdict is Verdict.FAIL)


def scorecard(grade: Grade) -> tuple[AxisScore, ...]:
    """All four axes, in their fixed order."""
    return tuple(_axis(axis, grade) for axis in Axis)


def findings(grade: Grade) -> tuple[CheckResult, ...]:
    """What a reader must look at: lab errors, breached safeguards, failures by points lost, inconclusive."""
    order = {Verdict.ERROR: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 2}
    found = [check for check in grade.checks if check.verdict in order]
    return tuple(
        sorted(
            found,
            key=lambda c: (order[c.verdict], c.severity is not Severity.CATASTROPHIC, c.earned - c.points),
        )
    )


def _axis(axis: Axis, grade: Grade) -> AxisScore:
    checks = tuple(check for check in grade.checks if check.axis is axis)
    judged = [check for check in checks if check.verdict in JUDGED]
    possible = sum(check.points for check in judged)
    earned = sum(check.earned for check in judged)
    share = earned / possible if possible else None
    return AxisScore(axis, earned, possible, share, _colour(share, checks), checks)


def _colour(share: float | None, checks: tuple[CheckResult, ...]) -> str:
    if any(c.verdict is Verdict.FAIL and c.severity is Severity.CATASTROPHIC for c in checks):
        return "red"
    if share is None:
        return "grey"
    return "green" if share >= GREEN_FROM else "yellow" if share >= YELLOW_FROM else "red"
