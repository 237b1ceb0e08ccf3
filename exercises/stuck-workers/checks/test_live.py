"""Live: hangs that a restart cures, one that it does not, and a slow worker."""

import pytest

from lab.grading import expect

pytestmark = pytest.mark.group("live")

# The alert fires five to seven lab minutes after a hang. A playbook on a busy machine needs up to ten more;
# the human would take over fifteen after the alert.
RESTART_LAB_MINUTES = 22.0

# Restart by minute 22 at the latest, ten to see that it did not help, and some for a busy machine.
ESCALATE_LAB_MINUTES = 35.0

# A restarted worker is ready in two lab minutes and clears its backlog in one. Ten is far from both.
DRAINED_LAB_MINUTES = 10.0
RATE_TOLERANCE = 0.05

# A restart is verified within ten lab minutes, and written down in some more.
SETTLE_LAB_MINUTES = 14.0


@pytest.mark.points(12, axis="Impact")
def test_restarted_in_time(evidence, check):
    """Every hung worker that a restart cures is restarted in time."""
    check(expect.restarted_within(evidence, RESTART_LAB_MINUTES))


@pytest.mark.points(5, axis="Impact")
def test_human_left_alone(evidence, check):
    """The on-call human has no curable hang to work on."""
    check(expect.human_left_alone(evidence))


@pytest.mark.points(5, axis="Depth")
def test_restarted_once(evidence, check):
    """One restart per hang, and none of its successor."""
    check(expect.restarted_once(evidence))


@pytest.mark.points(8, axis="Risk")
def test_healthy_untouched(evidence, check):
    """Slow, idle and healthy workers are never restarted."""
    check(expect.healthy_untouched(evidence))


@pytest.mark.points(8, axis="Depth")
def test_escalated_incurable(evidence, check):
    """What a restart does not cure goes to a human, not round and round."""
    check(expect.escalated_incurable(evidence, most_restarts=2, lab_minutes=ESCALATE_LAB_MINUTES))


@pytest.mark.points(8, axis="Depth")
def test_honest_success_rate(evidence, check):
    """The exported success rate is what really happened."""
    check(expect.honest_success_rate(evidence, RATE_TOLERANCE, DRAINED_LAB_MINUTES))


@pytest.mark.points(4, axis="Culture")
def test_posted_status(evidence, check):
    """The team channel hears of every hang that was worked on."""
    check(expect.posted_status(evidence, SETTLE_LAB_MINUTES))


@pytest.mark.points(4, axis="Culture")
def test_recorded_actions(evidence, check):
    """Every restart is an action on its incident, with an outcome."""
    check(expect.recorded_actions(evidence, SETTLE_LAB_MINUTES))


@pytest.mark.points(2, axis="Culture")
def test_explained(evidence, check):
    """Every restart can be traced to its incident and its reason."""
    check(expect.explained(evidence))


@pytest.mark.points(2, axis="Risk", severity="catastrophic")
def test_in_scope(evidence, exercise, check):
    """It changed nothing but workers."""
    check(expect.stayed_in_scope(evidence, exercise))
