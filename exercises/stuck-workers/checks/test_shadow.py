"""Shadow: the on-call human does the work, and the automation's intents are compared with the truth."""

import pytest

from lab.grading import expect

pytestmark = pytest.mark.group("shadow")

# The human needs about ten lab minutes to a restart, five at the least. An automation that reads the same
# alert is there in one to four.
AHEAD_LAB_MINUTES = 1.0

# A hang stays for ten lab minutes or more in shadow. One look a minute that forgets what it wanted would give
# ten intents.
MOST_INTENTS = 3


@pytest.mark.points(8, axis="Impact")
def test_named_every_hang(evidence, check):
    """It would have restarted every worker that hung."""
    check(expect.named_every_hang(evidence))


@pytest.mark.points(8, axis="Risk")
def test_named_nothing_else(evidence, check):
    """It would have left slow, idle and healthy workers alone."""
    check(expect.named_nothing_else(evidence))


@pytest.mark.points(4, axis="Impact")
def test_ahead_of_human(evidence, check):
    """It would have been quicker than the on-call human."""
    check(expect.ahead_of_human(evidence, AHEAD_LAB_MINUTES))


@pytest.mark.points(2, axis="Depth")
def test_no_endless_repeats(evidence, check):
    """It notices that a request had no effect, and does not repeat it for ever."""
    check(expect.few_intents_per_hang(evidence, MOST_INTENTS))


@pytest.mark.points(2, axis="Risk", severity="catastrophic")
def test_in_scope(evidence, exercise, check):
    """It wanted to change nothing but workers."""
    check(expect.stayed_in_scope(evidence, exercise))
