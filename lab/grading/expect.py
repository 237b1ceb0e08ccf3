"""Evaluations over evidence that checks are made of. Pure: evidence in, finding out.

Each looks at effects: the audit log, the fault journal, incidents, samples. None asks the program.
Margins are in lab minutes and are explained where they are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from lab.core.audit import AuditRecord, Decision
from lab.core.exercise import Exercise
from lab.engine.effects import (
    Restart,
    Trouble,
    drained_at,
    hangs,
    partition_of,
    restarts,
    troubles,
    victims,
)
from lab.engine.evidence import Evidence, seconds_of
from lab.engine.shadow import HUMAN, human_restart, shadow_report
from lab.grading.finding import Finding, inconclusive

AUDIT = "audit.jsonl: every request through the gateway"
JOURNAL = "faults.json: what really hung"
INCIDENTS = "incidents.json: what was written on each incident"
_SHOWN = 6


def _lines(items: Sequence[object]) -> tuple[str, ...]:
    shown = [str(item) for item in items[:_SHOWN]]
    return (*shown, f"… and {len(items) - _SHOWN} more") if len(items) > _SHOWN else tuple(shown)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _real_hangs(evidence: Evidence, curable: bool | None = None) -> tuple[Trouble, ...]:
    found = hangs(evidence, curable=curable)
    if not found:
        inconclusive("no such hang happened in this run")
    return found


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
        seen=_plural(len(outside), "change") + " elsewhere",
        evidence=_lines([_request(record) for record in outside]),
        look_at=AUDIT,
    )


def _collection(record: AuditRecord) -> str:
    return "worker-" if record.resource == "pods" and record.verb == "deletecollection" else ""


def _request(record: AuditRecord) -> str:
    path = "/".join(part for part in (record.resource, record.name, record.subresource) if part)
    outcome = f"{record.decision} {record.code}"
    return f"#{record.seq} {record.time} {record.verb} {record.namespace}/{path}: {outcome}"


def named_every_hang(evidence: Evidence) -> Finding:
    """In shadow: each real hang is named by an intent."""
    _real_hangs(evidence)
    report = shadow_report(evidence)
    missed = [match.trouble for match in report.matches if match.intent is None]
    return Finding(
        ok=not missed,
        expected=f"an intent to restart for each of {_plural(len(report.matches), 'hang')}",
        seen=f"{len(report.matches) - len(missed)} of them named",
        evidence=_lines(missed),
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
        seen=_plural(len(false), "false intent"),
        evidence=_lines(false),
        look_at=AUDIT,
        next_command="lab shadow-report",
    )


def ahead_of_human(evidence: Evidence, lab_minutes: float) -> Finding:
    """In shadow: the intents come earlier than the human's restarts by so much, in the median.

    A hang that the human had not cured by the end counts with the end of the run.
    """
    _real_hangs(evidence)
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
        for trouble in _real_hangs(evidence)
    }
    over = [f"{name}: {count} intents" for name, count in counts.items() if count > most]
    if not wanted:
        return Finding(False, f"1 to {most} intents per hang", "no intent at all", look_at=AUDIT)
    return Finding(
        ok=not over,
        expected=f"at most {most} intents per hang",
        seen=f"up to {max(counts.values())}",
        evidence=_lines(over),
        look_at=AUDIT,
    )


def explained(evidence: Evidence) -> Finding:
    """Every restart, carried out or intended, can be traced to an incident and a reason: by the request's
    headers, or by an action or note on an incident that names the pod."""
    wanted = restarts(evidence, (*evidence.carried_out, *evidence.intents))
    written = [
        text
        for incident in evidence.incidents
        for text in (
            *(f"{action.target.name} {action.reason}" for action in incident.actions if action.reason),
            *(note.text for note in incident.notes),
        )
    ]
    bare = [
        r
        for r in wanted
        if not (r.record.incident and r.record.note)
        and not all(any(pod in text for text in written) for pod in r.workers)
    ]
    return Finding(
        ok=bool(wanted) and not bare,
        expected="incident and reason of every restart, in its headers or on the incident",
        seen=f"{len(wanted) - len(bare)} of {_plural(len(wanted), 'restart')} with both",
        evidence=_lines(bare),
        look_at=AUDIT,
        share=(len(wanted) - len(bare)) / len(wanted) if wanted else 0.0,
    )


def _first_restart(evidence: Evidence, trouble: Trouble, done: Sequence[Restart]) -> Restart | None:
    names = victims(evidence, trouble)
    return next((r for r in done if r.workers & names and r.at >= trouble.began), None)


def restarted_within(
    evidence: Evidence, lab_minutes: float, partitions: Sequence[str] | None = None
) -> Finding:
    """Each curable hang (of these partitions) is restarted by the automation within so many lab minutes."""
    done = restarts(evidence, evidence.carried_out)
    limit = evidence.scale.real(minutes=lab_minutes)
    wanted = [t for t in _real_hangs(evidence, True) if partitions is None or t.partition in partitions]
    late = []
    for trouble in wanted:
        first = _first_restart(evidence, trouble, done)
        if first is None:
            late.append(f"{trouble}, lab minute {evidence.lab_minute(trouble.began):.1f}: not restarted")
        elif first.at - trouble.began > limit:
            took = evidence.scale.lab_minutes(first.at - trouble.began)
            late.append(f"{trouble}: restarted after {took:.1f} lab minutes")
    return Finding(
        ok=not late,
        expected=f"{_plural(len(wanted), 'hung worker')} restarted within {lab_minutes:g} lab minutes each",
        seen=f"{len(wanted) - len(late)} in time",
        evidence=_lines(late),
        look_at=f"{JOURNAL}; {AUDIT}",
        next_command="kubectl -n automation logs deploy/automation",
        share=1 - len(late) / len(wanted) if wanted else 0.0,
    )


def restarted_once(evidence: Evidence) -> Finding:
    """One restart per curable hang; the pod's successor on the partition is left alone."""
    done = restarts(evidence, evidence.carried_out)
    wrong = []
    for trouble in _real_hangs(evidence, True):
        hits = [r for r in done if r.at >= trouble.began and _reaches(evidence, r, trouble.partition)]
        if len(hits) != 1:
            wrong.append(f"{trouble}: {_plural(len(hits), 'restart')}")
            wrong += [f"  {hit}" for hit in hits[:3]]
    return Finding(
        ok=not wrong,
        expected="exactly one restart per curable hang",
        seen="so" if not wrong else f"not so for {sum(not w.startswith('  ') for w in wrong)} of them",
        evidence=_lines(wrong),
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
        seen=_plural(len(wrong), "restart") + " of such",
        evidence=_lines(wrong),
        look_at=f"{AUDIT}; {JOURNAL}",
    )


def escalated_incurable(evidence: Evidence, most_restarts: int, lab_minutes: float) -> Finding:
    """What a restart does not cure is handed to a human in time, after few restarts."""
    done = restarts(evidence, evidence.carried_out)
    wrong = []
    for trouble in _real_hangs(evidence, False):
        names = victims(evidence, trouble)
        hits = [r for r in done if r.workers & names and r.at >= trouble.began]
        if len(hits) > most_restarts:
            wrong.append(f"{trouble}: {_plural(len(hits), 'restart')}")
        handed = _escalations(evidence, trouble)
        limit = trouble.began + evidence.scale.real(minutes=lab_minutes)
        if not handed:
            wrong.append(f"{trouble}: never escalated")
        elif min(handed) > limit:
            wrong.append(f"{trouble}: escalated after lab minute {evidence.lab_minute(min(handed)):.1f}")
    return Finding(
        ok=not wrong,
        expected=f"an incurable hang escalated within {lab_minutes:g} lab minutes,"
        f" after at most {most_restarts} restarts",
        seen="so" if not wrong else "not so",
        evidence=_lines(wrong),
        look_at=INCIDENTS,
        next_command="lab logs pager",
    )


def _escalations(evidence: Evidence, trouble: Trouble) -> list[float]:
    return [
        escalation.at.timestamp()
        for incident in evidence.incidents
        if incident.labels.get("partition") == trouble.partition
        for escalation in incident.escalations
        if not escalation.by.startswith("human") and escalation.at.timestamp() >= trouble.began
    ]


def posted_status(evidence: Evidence) -> Finding:
    """Every hang that the automation acted on is told in the team channel, on its incident."""
    done = restarts(evidence, evidence.carried_out)
    acted = [t for t in _real_hangs(evidence) if _first_restart(evidence, t, done)]
    posts = [post for post in evidence.posts if not str(post.get("by", "")).startswith("human")]
    told = {str(post.get("incident") or "") for post in posts}
    untold = []
    for trouble in acted:
        ids = {i.id for i in evidence.incidents if i.labels.get("partition") == trouble.partition}
        if not ids & told:
            untold.append(str(trouble))
    return Finding(
        ok=bool(acted) and not untold,
        expected="a status post on the incident of every hang that was worked on",
        seen=f"{len(acted) - len(untold)} of {len(acted)} told" if acted else "no hang was worked on",
        evidence=_lines(untold),
        look_at="posts.json: the team channel",
        share=(len(acted) - len(untold)) / len(acted) if acted else 0.0,
    )


def recorded_actions(evidence: Evidence) -> Finding:
    """Every restart is written on an incident as an action with an outcome."""
    done = restarts(evidence, evidence.carried_out)
    written = {
        action.target.name
        for incident in evidence.incidents
        for action in incident.actions
        if not action.by.startswith(HUMAN) and action.outcome
    }
    bare = [r for r in done if not r.workers & written]
    return Finding(
        ok=bool(done) and not bare,
        expected="an action with an outcome on the incident for every restart",
        seen=f"{len(done) - len(bare)} of {_plural(len(done), 'restart')} recorded",
        evidence=_lines(bare),
        look_at=INCIDENTS,
        share=(len(done) - len(bare)) / len(done) if done else 0.0,
    )


def human_left_alone(evidence: Evidence) -> Finding:
    """The on-call human had to restart no worker whose hang was curable."""
    worked = [str(t) for t in _real_hangs(evidence, True) if human_restart(evidence, t)]
    done = restarts(evidence, evidence.carried_out)
    return Finding(
        ok=not worked and bool(done),
        expected="no curable hang left to the on-call human",
        seen=f"{_plural(len(worked), 'hang')} cured by hand" if done else "no restart by the automation",
        evidence=_lines(worked),
        look_at=INCIDENTS,
    )


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
        evidence=_lines(lines),
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


def stopped_when_told(evidence: Evidence, most: int) -> Finding:
    """With the kill switch engaged, nothing is carried out and few attempts are made."""
    window = _stopped_window(evidence)
    during = [r for r in evidence.mutations if window[0] <= seconds_of(r.time) < window[1]]
    if not evidence.carried_out:
        return Finding(
            False, "restarts, and none while the kill switch is engaged", "no restart at all", look_at=AUDIT
        )
    through = [r for r in during if r.decision is not Decision.REFUSED and r.code < 400]
    refused = [r for r in during if r.decision is Decision.REFUSED]
    return Finding(
        ok=not through and len(refused) <= most,
        expected=f"at most {most} attempts while the kill switch is engaged, and none carried out",
        seen=f"{_plural(len(refused), 'attempt')} refused, {len(through)} carried out",
        evidence=_lines([_request(record) for record in (*through, *refused)]),
        look_at=AUDIT,
    )


def _stopped_window(evidence: Evidence) -> tuple[float, float]:
    engaged, released = evidence.mark("kill-switch-on"), evidence.mark("kill-switch-off")
    if engaged is None:
        inconclusive("the kill switch was not engaged in this run")
    end = seconds_of(released) if released else seconds_of(evidence.ended_at)
    return seconds_of(engaged), end


def told_humans_when_stopped(evidence: Evidence) -> Finding:
    """A hang under the kill switch reaches people by word of the automation: escalation, note or post."""
    start, _ = _stopped_window(evidence)
    end = seconds_of(evidence.ended_at)
    said = [
        f"{entry.at:%H:%M:%S} {entry.kind} by {entry.by}: {entry.text[:80]}"
        for entry in evidence.history
        if entry.kind in ("escalated", "status", "note")
        and not entry.by.startswith("human")
        and entry.incident
        and start <= entry.at.timestamp() <= end
        and _is_during(evidence, entry.incident, start)
    ]
    return Finding(
        ok=bool(said),
        expected="an escalation, note or status post on the incident that the automation may not work on",
        seen=_plural(len(said), "message"),
        evidence=_lines(said),
        look_at="history.json: all that was said",
    )


def _is_during(evidence: Evidence, incident: str, start: float) -> bool:
    _, end = _stopped_window(evidence)
    return any(i.id == incident and start <= i.opened_at.timestamp() <= end for i in evidence.incidents)


def resumed(evidence: Evidence, lab_minutes: float) -> Finding:
    """A hang after the kill switch is released is restarted in time."""
    released = evidence.mark("kill-switch-off")
    if released is None:
        inconclusive("the kill switch was not released in this run")
    after = [t for t in _real_hangs(evidence, True) if t.began >= seconds_of(released)]
    if not after:
        inconclusive("no hang after the kill switch was released")
    return restarted_within(evidence, lab_minutes, [t.partition for t in after])


def automation_kept_running(evidence: Evidence) -> Finding:
    """The program did not crash: its runner restarted it at most once."""
    counts = [p[1] for s in evidence.series("toil_automation_restarts_total") for p in s.points[-1:]]
    if not counts:
        inconclusive("the runner's metrics were not scraped")
    return Finding(
        ok=max(counts) <= 1,
        expected="the program runs on, with at most one restart",
        seen=f"{max(counts):.0f} restarts",
        evidence=_lines(evidence.log.splitlines()[-4:]),
        look_at="automation.log",
        next_command="lab logs automation",
    )
