"""The exported success rate against what really happened."""

from __future__ import annotations

from collections.abc import Sequence

from lab.engine.effects import Restart, drained_at, partition_of, restarts
from lab.engine.evidence import Evidence, seconds_of
from lab.grading.expect.wording import AUDIT, lines_of
from lab.grading.finding import Finding


def honest_success_rate(evidence: Evidence, tolerance: float, settle_lab_minutes: float) -> Finding:
    """The exported success rate agrees with what the audit log and the queues show.

    A restart counts as a success when its partition drained within `settle_lab_minutes`. Restarts too close
    to the end to be judged may count either way.
    """
    done = restarts(evidence, evidence.carried_out)
    samples = [point for s in evidence.series("toil_auto_success_rate") for point in s.points[-1:]]
    if not done:
        return Finding(False, "an exported success rate that is true", "no restart at all", look_at=AUDIT)
    if not samples:
        return Finding(
            False,
            "gauge toil_auto_success_rate exported",
            "no sample of it",
            look_at="docs/automation.md, Metrics",
            next_command="curl the automation's :9400/metrics",
        )
    exported = max(samples)[1]
    low, high, lines = _true_rate(evidence, done, settle_lab_minutes)
    ok = low - tolerance <= exported <= high + tolerance
    true = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
    return Finding(
        ok=ok,
        expected=f"toil_auto_success_rate {true} (± {tolerance:g}), as the effects show",
        seen=f"{exported:.2f} exported",
        evidence=lines_of(lines),
        look_at=f"{AUDIT}; samples.json: shop_queue_oldest_order_age_seconds",
    )


def _true_rate(
    evidence: Evidence, done: Sequence[Restart], settle_lab_minutes: float
) -> tuple[float, float, list[str]]:
    settle = evidence.scale.real(minutes=settle_lab_minutes)
    end = seconds_of(evidence.ended_at)
    good = open_ = 0
    lines = []
    for restart in done:
        partitions = {partition_of(evidence, pod, restart.at) for pod in restart.workers}
        drained = [drained_at(evidence, partition, restart.at) for partition in sorted(partitions)]
        success = all(at is not None and at - restart.at <= settle for at in drained)
        if restart.at + settle > end and not success:
            open_ += 1
            verdict = "too late to judge"
        else:
            good += success
            verdict = "cured" if success else "not cured"
        lines.append(f"{', '.join(sorted(restart.workers)[:2])}: {verdict}")
    late = sum(restart.at + settle > end for restart in done)
    judged = len(done)
    # A success near the end may not have been verified by the automation yet: both readings are true.
    low = min((good - late) / (judged - late) if judged > late else good / judged, good / judged)
    high = max((good + open_) / judged, (good - late) / (judged - late) if judged > late else 0.0)
    return max(low, 0.0), high, lines
