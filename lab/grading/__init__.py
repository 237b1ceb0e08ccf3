"""Grading: evidence in, points out. The stable API for exercise authors:

from lab.grading import expect, inconclusive

pytestmark = pytest.mark.group("live")

@pytest.mark.points(10, axis="Impact")
def test_restarted_in_time(evidence, check):
    '''Every curable hang is restarted in time.'''
    check(expect.restarted_within(evidence, 14))
"""

from lab.grading import expect
from lab.grading.finding import Finding, Inconclusive, Unmet, inconclusive

__all__ = ["Finding", "Inconclusive", "Unmet", "expect", "inconclusive"]
