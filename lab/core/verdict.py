"""What a check can say, and the record it leaves.

A verdict is never invented: a check that could not be evaluated is an error of the lab and costs nobody
points; one whose window did not finish is inconclusive.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The outcome of one check."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    SKIPPED = "skipped"


class Axis(StrEnum):
    """The four axes of the scorecard."""

    IMPACT = "Impact"
    DEPTH = "Depth"
    RISK = "Risk"
    CULTURE = "Culture"


class Severity(StrEnum):
    """What a failed safeguard costs: its points, or the whole score."""

    RECOVERABLE = "recoverable"
    CATASTROPHIC = "catastrophic"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's verdict with all a reader needs to act on it."""

    id: str
    title: str
    axis: Axis
    points: int
    verdict: Verdict
    earned: float = 0.0
    severity: Severity = Severity.RECOVERABLE
    group: str = ""
    expected: str = ""
    seen: str = ""
    evidence: tuple[str, ...] = ()
    look_at: str = ""
    next_command: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Grade:
    """All checks of one graded run of one automation."""

    exercise: str
    automation: str
    seed: int
    provider: str
    checks: tuple[CheckResult, ...]
    seconds: float = 0.0
    run: str = ""
    started_at: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def possible(self) -> int:
        """Points of the checks that could be judged."""
        return sum(c.points for c in self.checks if c.verdict in (Verdict.PASS, Verdict.FAIL))

    @property
    def earned(self) -> float:
        """Points earned; zero when a catastrophic safeguard was breached."""
        if any(c.verdict is Verdict.FAIL and c.severity is Severity.CATASTROPHIC for c in self.checks):
            return 0.0
        return sum(c.earned for c in self.checks)

    @property
    def verdict(self) -> Verdict:
        """The worst that matters: a lab error hides nothing, a fail outranks an inconclusive."""
        seen = {c.verdict for c in self.checks}
        for verdict in (Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE):
            if verdict in seen:
                return verdict
        return Verdict.PASS if Verdict.PASS in seen else Verdict.ERROR
