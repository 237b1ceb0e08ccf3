"""Intents against the truth and against the human."""

from __future__ import annotations

from statistics import median

from lab.engine.effects import hangs, restarts, victims
from lab.engine.evidence import Evidence
from lab.engine.shadow import shadow_report
from lab.grading.expect.repair import real_hangs
from lab.grading.expect.wording import AUDIT, INCIDENTS, JOURNAL, lines_of, plural
from lab.grading.finding import Finding


def named_every_hang(evidence: Evidence) -> Finding:
    """In shadow: each real hang is named by an intent."""
    real_hangs(evidence)
    report = shadow_report(evidence)
    missed = [match.trouble for match in report.matches if match.intent is None]
    return Finding(
        ok=not missed,
        expected=f"an intent to restart for each of {plural(len(report.matches), 'hang')}",
        seen=f"{len(report.matches) - len(missed)} of them named",
        evidence=lines_of(missed),
        look_at=JOURNAL,
        next_command="lab shadow-report",
        share=report.agreement if missed else 1.0,
    )


def named_nothing_else(evidence: Evidence) -> Finding:
    """In shadow: no intent names a worker that is not hung."""
    report = shadow_report(evidence)
    false = [
        f"lab minute {action.at:.1f}: {', '.join(action.pods[:3])} ({action.look_alike or 'healthy'})"
        for action in report.false_actions
    ]
    if not report.intents and hangs(evidence):
        return Finding(False, "intents, and none of a healthy worker", "no intent at all", look_at=AUDIT)
    return Finding(
        ok=not false,
        expected="no intent to restart a worker that is slow, idle or healthy",
        seen=plural(len(false), "false intent"),
        evidence=lines_of(false),
        look_at=AUDIT,
        next_command="lab shadow-report",
    )


def ahead_of_human(evidence: Evidence, lab_minutes: float) -> Finding:
    """In shadow: the intents come earlier than the human's restarts by so much, in the median.

    A hang that the human had not cured by the end counts with the end of the run.
    """
    real_hangs(evidence)
    end = evidence.lab_minute(evidence.ended_at)
    ahead = [
        (match.human if match.human is not None else end) - match.intent
        for match in shadow_report(evidence).matches
        if match.intent is not None
    ]
    middle = median(ahead) if ahead else float("-inf")
    return Finding(
        ok=middle >= lab_minutes,
        expected=f"intents at least {lab_minutes:g} lab minutes before the on-call human acts (median)",
        seen=f"{middle:.1f} lab minutes" if ahead else "no intent at all",
        look_at=INCIDENTS,
        next_command="lab shadow-report",
    )


def few_intents_per_hang(evidence: Evidence, most: int) -> Finding:
    """In shadow: the automation notices that nothing changes and does not repeat itself without end."""
    wanted = restarts(evidence, evidence.intents)
    counts = {
        str(trouble): sum(bool(r.workers & victims(evidence, trouble)) for r in wanted)
        for trouble in real_hangs(evidence)
    }
    over = [f"{name}: {count} intents" for name, count in counts.items() if count > most]
    if not wanted:
        return Finding(False, f"1 to {most} intents per hang", "no intent at all", look_at=AUDIT)
    return Finding(
        ok=not over,
        expected=f"at most {most} intents per hang",
        seen=f"up to {max(counts.values())}",
        evidence=lines_of(over),
        look_at=AUDIT,
    )
