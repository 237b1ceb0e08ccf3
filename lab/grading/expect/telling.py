"""What people hear: escalations, status posts, actions, reasons."""

from __future__ import annotations

from lab.engine.effects import Trouble, restarts, victims
from lab.engine.evidence import Evidence, seconds_of
from lab.engine.shadow import HUMAN
from lab.grading.expect.repair import first_restart, real_hangs
from lab.grading.expect.wording import AUDIT, INCIDENTS, lines_of, plural
from lab.grading.finding import Finding


def escalated_incurable(evidence: Evidence, most_restarts: int, lab_minutes: float) -> Finding:
    """What a restart does not cure is handed to a human in time, after few restarts."""
    done = restarts(evidence, evidence.carried_out)
    wrong = []
    for trouble in real_hangs(evidence, False):
        names = victims(evidence, trouble)
        hits = [r for r in done if r.workers & names and r.at >= trouble.began]
        if len(hits) > most_restarts:
            wrong.append(f"{trouble}: {plural(len(hits), 'restart')}")
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
        evidence=lines_of(wrong),
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


def posted_status(evidence: Evidence, settle_lab_minutes: float) -> Finding:
    """Every hang that the automation acted on is told in the team channel, on its incident.

    One that it restarted in the last `settle_lab_minutes` of the run may still be untold.
    """
    late = seconds_of(evidence.ended_at) - evidence.scale.real(minutes=settle_lab_minutes)
    done = [r for r in restarts(evidence, evidence.carried_out) if r.at < late]
    acted = [t for t in real_hangs(evidence) if first_restart(evidence, t, done)]
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
        evidence=lines_of(untold),
        look_at="posts.json: the team channel",
        share=(len(acted) - len(untold)) / len(acted) if acted else 0.0,
    )


def recorded_actions(evidence: Evidence, settle_lab_minutes: float) -> Finding:
    """Every restart is written on an incident as an action with an outcome.

    One in the last `settle_lab_minutes` of the run may still be without: its outcome is not known yet.
    """
    late = seconds_of(evidence.ended_at) - evidence.scale.real(minutes=settle_lab_minutes)
    done = [r for r in restarts(evidence, evidence.carried_out) if r.at < late]
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
        seen=f"{len(done) - len(bare)} of {plural(len(done), 'restart')} recorded",
        evidence=lines_of(bare),
        look_at=INCIDENTS,
        share=(len(done) - len(bare)) / len(done) if done else 0.0,
    )


def explained(evidence: Evidence) -> Finding:
    """Every restart, carried out or intended, can be traced to an incident and a reason: by the request's
    headers, naming an incident of the pager, or by an action or note on an incident that names the pod."""
    wanted = restarts(evidence, (*evidence.carried_out, *evidence.intents))
    known = {incident.id for incident in evidence.incidents}
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
        if not (r.record.incident in known and r.record.note)
        and not all(any(pod in text for text in written) for pod in r.workers)
    ]
    return Finding(
        ok=bool(wanted) and not bare,
        expected="incident and reason of every restart, in its headers or on the incident",
        seen=f"{len(wanted) - len(bare)} of {plural(len(wanted), 'restart')} with both",
        evidence=lines_of(bare),
        look_at=AUDIT,
        share=(len(wanted) - len(bare)) / len(wanted) if wanted else 0.0,
    )
