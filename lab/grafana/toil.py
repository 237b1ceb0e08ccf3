"""The dashboard of the toil: pages, hands on work, and what the lab breaks."""

from __future__ import annotations

from lab.grafana.board import Board, Panel, Query, Unit, counted, largest, quantile
from lab.metrics import catalogue as m

PAGED = "fault hung-workers"

BOARD = Board(
    "toil",
    "toil-lab: the toil",
    "What the on-call human is called for, how long it takes, and what is broken.",
    (
        Panel(
            "Pages",
            Unit.NUMBER,
            "Pages in the time that is shown.",
            (counted(m.PAGES, needs=PAGED, legend="pages"),),
            now=True,
        ),
        Panel(
            "Open incidents",
            Unit.NUMBER,
            m.INCIDENTS_OPEN.meaning,
            (largest(m.INCIDENTS_OPEN, legend="open"),),
            now=True,
        ),
        Panel(
            "Approvals that wait",
            Unit.NUMBER,
            m.APPROVALS_PENDING.meaning,
            (largest(m.APPROVALS_PENDING, legend="wait"),),
            now=True,
        ),
        Panel(
            "Dead letters",
            Unit.NUMBER,
            m.DEAD_LETTERS.meaning,
            (largest(m.DEAD_LETTERS, legend="wait"),),
            now=True,
        ),
        Panel(
            "Pages by alert",
            Unit.NUMBER,
            m.PAGES.meaning + " Counted since the pager started.",
            (Query(f"sum by (alertname, severity) ({m.PAGES.name})", "{{alertname}} {{severity}}", PAGED),),
        ),
        Panel(
            "Incidents that are open",
            Unit.NUMBER,
            m.INCIDENTS_OPEN.meaning,
            (largest(m.INCIDENTS_OPEN, legend="open"), largest(m.SILENCED_ALERTS, legend="silenced")),
        ),
        Panel(
            "Time to acknowledge",
            Unit.SECONDS,
            m.TIME_TO_ACKNOWLEDGE.meaning + " Of the incidents in the time that is shown; real seconds.",
            tuple(quantile(m.TIME_TO_ACKNOWLEDGE, share, "$__range") for share in (0.5, 0.95)),
        ),
        Panel(
            "Time to resolve",
            Unit.SECONDS,
            m.TIME_TO_RESOLVE.meaning + " Of the incidents in the time that is shown; real seconds.",
            tuple(quantile(m.TIME_TO_RESOLVE, share, "$__range") for share in (0.5, 0.95)),
        ),
        Panel(
            "Mean time to acknowledge and to resolve",
            Unit.SECONDS,
            "Over all incidents since the pager started; real seconds.",
            (
                Query(
                    f"{m.TIME_TO_ACKNOWLEDGE.name}_sum / {m.TIME_TO_ACKNOWLEDGE.name}_count", "to acknowledge"
                ),
                Query(f"{m.TIME_TO_RESOLVE.name}_sum / {m.TIME_TO_RESOLVE.name}_count", "to resolve"),
            ),
        ),
        Panel(
            "Escalations",
            Unit.NUMBER,
            m.ESCALATIONS.meaning + " And pages that a level of the ladder left unanswered.",
            (
                largest(m.ESCALATIONS, legend="handed over"),
                Query(
                    f"sum by (level) ({m.ESCALATION_TIMEOUTS.name})",
                    "level {{level}} did not answer",
                    "no answer",
                ),
            ),
        ),
        Panel(
            "Approvals",
            Unit.NUMBER,
            m.APPROVALS.meaning,
            (Query(f"sum by (result) ({m.APPROVALS.name})", "{{result}}", "automation"),),
        ),
        Panel(
            "Posts to the team channel",
            Unit.NUMBER,
            m.STATUS_POSTS.meaning,
            (largest(m.STATUS_POSTS, legend="posts"),),
        ),
        Panel(
            "Faults that bite",
            Unit.NUMBER,
            m.FAULTS_ACTIVE.meaning,
            (Query(f"sum by (fault) ({m.FAULTS_ACTIVE.name})", "{{fault}}", PAGED),),
        ),
        Panel(
            "Faults applied",
            Unit.NUMBER,
            m.FAULTS_INJECTED.meaning,
            (Query(f"sum by (fault) ({m.FAULTS_INJECTED.name})", "{{fault}}", PAGED),),
        ),
    ),
)
