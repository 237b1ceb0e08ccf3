"""How long a person takes for things, drawn from the lab's seed.

Times of people are log-normal: mostly near the median, now and then much longer, never negative. The n-th
incident that the human works on gets the same draws in every run of a seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lab.core.clock import TimeScale
from lab.core.seed import stream


@dataclass(frozen=True, slots=True)
class Span:
    """A log-normal span. median, least, most in lab minutes; sigma is of the logarithm."""

    median: float
    sigma: float
    least: float
    most: float


ACKNOWLEDGE = Span(median=4.0, sigma=0.45, least=1.0, most=20.0)
"""From the page to the acknowledgement: put the coffee down, find the laptop."""
DIAGNOSE = Span(median=3.0, sigma=0.35, least=1.0, most=12.0)
"""From the acknowledgement to knowing what is the matter: hands-on."""
REPAIR = Span(median=1.0, sigma=0.3, least=0.3, most=5.0)
"""To type the command of the runbook: hands-on, before the verification."""
READ = Span(median=3.0, sigma=0.4, least=1.0, most=10.0)
"""From a request for approval to reading it: a ping, not a page."""
GLANCE = Span(median=1.0, sigma=0.3, least=0.3, most=5.0)
"""To see that a page needs nothing, or somebody else: hands-on."""

DEVELOPERS_LAB_MINUTES = 10.0
"""From the escalation to the developers' fix in production."""
SECOND_LOOK_LAB_MINUTES = 2.0
"""How soon the human comes back to a restart that did not help."""
LOOK_AGAIN_LAB_MINUTES = 5.0
"""How soon the human comes back to a page that needed nothing and is still open."""
VERIFY_LAB_MINUTES = 10.0
"""How long a restart may take to help, at least `VERIFY_SECONDS` of real time."""
VERIFY_SECONDS = 15.0


class Pace:
    """The human's own speed."""

    def __init__(self, seed: int, scale: TimeScale) -> None:
        self._seed = seed
        self._scale = scale

    def seconds(self, span: Span, number: int, what: str) -> float:
        """Real seconds that `what` takes at the human's `number`-th look at an incident."""
        drawn = stream(self._seed, "oncall", what, str(number)).lognormvariate(
            math.log(span.median), span.sigma
        )
        return self._scale.real(minutes=min(max(drawn, span.least), span.most))
