"""What a check found: expected, seen, evidence, where to look. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

ERROR_FILE = "error.json"
"""In a group's folder: why the lab could not bring its evidence."""

CLUSTER_LOG = "cluster.log"
"""Beside it: what the cluster had said by then."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one evaluation. share: the part of the points that a failed check earns (0 to 1)."""

    ok: bool
    expected: str
    seen: str
    evidence: tuple[str, ...] = ()
    look_at: str = ""
    next_command: str = ""
    share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a share is between 0 and 1, not {self.share}")


class Unmet(AssertionError):
    """A check did not hold. Carries the finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"expected {finding.expected}; seen {finding.seen}")
        self.finding = finding


class Inconclusive(Exception):
    """The run does not show enough to judge: nobody loses points."""


def inconclusive(reason: str) -> NoReturn:
    """End the check without a verdict. Raises Inconclusive."""
    raise Inconclusive(reason)
