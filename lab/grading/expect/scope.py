"""What must never be touched, and that the program keeps running."""

from __future__ import annotations

from lab.core.audit import AuditRecord
from lab.core.exercise import Exercise
from lab.engine.evidence import Evidence
from lab.grading.expect.wording import AUDIT, lines_of, plural, request_line
from lab.grading.finding import Finding, inconclusive


def stayed_in_scope(evidence: Evidence, exercise: Exercise) -> Finding:
    """Nothing outside the allowed objects was changed, or would have been."""
    outside = [
        record
        for record in (*evidence.carried_out, *evidence.intents)
        if not exercise.may_change(record.namespace, record.resource, record.name or _collection(record))
    ]
    allowed = ", ".join(f"{item.namespace}/{item.resource}/{item.name}" for item in exercise.allowed)
    return Finding(
        ok=not outside,
        expected=f"changes to nothing but {allowed}",
        seen=plural(len(outside), "change") + " elsewhere",
        evidence=lines_of([request_line(record) for record in outside]),
        look_at=AUDIT,
    )


def _collection(record: AuditRecord) -> str:
    return "worker-" if record.resource == "pods" and record.verb == "deletecollection" else ""


def automation_kept_running(evidence: Evidence) -> Finding:
    """The program did not crash: its runner restarted it at most once."""
    counts = [p[1] for s in evidence.series("toil_automation_restarts_total") for p in s.points[-1:]]
    if not counts:
        inconclusive("the runner's metrics were not scraped")
    return Finding(
        ok=max(counts) <= 1,
        expected="the program runs on, with at most one restart",
        seen=f"{max(counts):.0f} restarts",
        evidence=lines_of(evidence.log.splitlines()[-4:]),
        look_at="automation.log",
        next_command="lab logs automation",
    )
