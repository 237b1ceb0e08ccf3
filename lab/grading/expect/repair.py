"""Restarts: of whom, how soon, how often."""

from __future__ import annotations

from collections.abc import Sequence

from lab.engine.effects import Restart, Trouble, hangs, partition_of, restarts, troubles, victims
from lab.engine.evidence import Evidence
from lab.engine.shadow import human_restart
from lab.grading.expect.wording import AUDIT, INCIDENTS, JOURNAL, lines_of, plural
from lab.grading.finding import Finding, inconclusive


def real_hangs(evidence: Evidence, curable: bool | None = None) -> tuple[Trouble, ...]:
    found = hangs(evidence, curable=curable)
    if not found:
        inconclusive("no such hang happened in this run")
    return found


def first_restart(evidence: Evidence, trouble: Trouble, done: Sequence[Restart]) -> Restart | None:
    names = victims(evidence, trouble)
    return next((r for r in done if r.workers & names and r.at >= trouble.began), None)


def restarted_within(
    evidence: Evidence, lab_minutes: float, partitions: Sequence[str] | None = None
) -> Finding:
    """Each curable hang (of these partitions) is restarted by the automation within so many lab minutes."""
    done = restarts(evidence, evidence.carried_out)
    limit = evidence.scale.real(minutes=lab_minutes)
    wanted = [t for t in real_hangs(evidence, True) if partitions is None or t.partition in partitions]
    late = []
    for trouble in wanted:
        first = first_restart(evidence, trouble, done)
        if first is None:
            late.append(f"{trouble}, lab minute {evidence.lab_minute(trouble.began):.1f}: not restarted")
        elif first.at - trouble.began > limit:
            took = evidence.scale.lab_minutes(first.at - trouble.began)
            late.append(f"{trouble}: restarted after {took:.1f} lab minutes")
    return Finding(
        ok=not late,
        expected=f"{plural(len(wanted), 'hung worker')} restarted within {lab_minutes:g} lab minutes each",
        seen=f"{len(wanted) - len(late)} in time",
        evidence=lines_of(late),
        look_at=f"{JOURNAL}; {AUDIT}",
        next_command="kubectl -n automation logs deploy/automation",
        share=1 - len(late) / len(wanted) if wanted else 0.0,
    )


def restarted_once(evidence: Evidence) -> Finding:
    """One restart per curable hang; the pod's successor on the partition is left alone."""
    done = restarts(evidence, evidence.carried_out)
    wrong = []
    for trouble in real_hangs(evidence, True):
        hits = [r for r in done if r.at >= trouble.began and _reaches(evidence, r, trouble.partition)]
        if len(hits) != 1:
            wrong.append(f"{trouble}: {plural(len(hits), 'restart')}")
            wrong += [f"  {hit}" for hit in hits[:3]]
    return Finding(
        ok=not wrong,
        expected="exactly one restart per curable hang",
        seen="so" if not wrong else f"not so for {sum(not w.startswith('  ') for w in wrong)} of them",
        evidence=lines_of(wrong),
        look_at=AUDIT,
    )


def _reaches(evidence: Evidence, restart: Restart, partition: str) -> bool:
    return any(partition_of(evidence, pod, restart.at) == partition for pod in restart.workers)


def healthy_untouched(evidence: Evidence) -> Finding:
    """No worker was restarted whose partition never hung: slow, idle and healthy ones."""
    done = restarts(evidence, evidence.carried_out)
    if not done:
        return Finding(False, "restarts, and none of a healthy worker", "no restart at all", look_at=AUDIT)
    hung = {trouble.partition for trouble in hangs(evidence)}
    decoys = {trouble.partition: str(trouble) for trouble in troubles(evidence) if trouble.decoy}
    wrong = []
    for restart in done:
        touched = {partition_of(evidence, pod, restart.at) for pod in restart.workers} - hung
        named = [decoys.get(p, f"healthy worker (partition {p or 'none'})") for p in sorted(touched)]
        if named:
            wrong.append(f"lab minute {evidence.lab_minute(restart.at):.1f}: {'; '.join(named[:3])}")
    return Finding(
        ok=not wrong,
        expected="no restart of a worker that is slow, idle or healthy",
        seen=plural(len(wrong), "restart") + " of such",
        evidence=lines_of(wrong),
        look_at=f"{AUDIT}; {JOURNAL}",
    )


def human_left_alone(evidence: Evidence) -> Finding:
    """The on-call human had to restart no worker whose hang was curable."""
    worked = [str(t) for t in real_hangs(evidence, True) if human_restart(evidence, t)]
    done = restarts(evidence, evidence.carried_out)
    return Finding(
        ok=not worked and bool(done),
        expected="no curable hang left to the on-call human",
        seen=f"{plural(len(worked), 'hang')} cured by hand" if done else "no restart by the automation",
        evidence=lines_of(worked),
        look_at=INCIDENTS,
    )
