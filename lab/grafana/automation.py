"""The dashboard of the automation: what it may do, what it asks for, and what becomes of it."""

from __future__ import annotations

from lab.grafana.board import Board, Panel, Query, Unit, largest, quantile, rate
from lab.metrics import catalogue as m

RUNS = "automation"
CANARY = "automation"

BOARD = Board(
    "automation",
    "toil-lab: the automation",
    "The automation's mode, its success, and what the gateway decides on its requests.",
    (
        Panel(
            "Success rate",
            Unit.SHARE,
            m.AUTO_SUCCESS_RATE.meaning + " What the automation says of itself.",
            (Query(f"min({m.AUTO_SUCCESS_RATE.name})", "success", RUNS),),
            now=True,
            maximum=1,
        ),
        Panel(
            "Mode",
            Unit.NUMBER,
            m.GATEWAY_MODE.meaning,
            (Query(f"max by (mode) ({m.GATEWAY_MODE.name}) == 1", "{{mode}}"),),
            now=True,
        ),
        Panel(
            "Kill switch",
            Unit.ON_OFF,
            m.KILL_SWITCH.meaning,
            (largest(m.KILL_SWITCH, legend="kill switch"),),
            now=True,
            maximum=1,
        ),
        Panel(
            "Program",
            Unit.ON_OFF,
            m.AUTOMATION_UP.meaning,
            (largest(m.AUTOMATION_UP, needs=RUNS, legend="runs"),),
            now=True,
            maximum=1,
        ),
        Panel(
            "Success rate over time",
            Unit.SHARE,
            m.AUTO_SUCCESS_RATE.meaning,
            (Query(f"min by (app) ({m.AUTO_SUCCESS_RATE.name})", "{{app}}", RUNS),),
            maximum=1,
        ),
        Panel(
            "Remediations",
            Unit.PER_SECOND,
            m.REMEDIATIONS.meaning,
            (rate(m.REMEDIATIONS, "result", needs=RUNS),),
        ),
        Panel(
            "Mutations by outcome",
            Unit.PER_SECOND,
            m.MUTATIONS.meaning,
            (rate(m.MUTATIONS, "outcome", "verb", "resource", needs=RUNS),),
        ),
        Panel(
            "Requests by decision",
            Unit.PER_SECOND,
            m.GATEWAY_REQUESTS.meaning,
            (rate(m.GATEWAY_REQUESTS, "decision", "verb", needs=RUNS),),
        ),
        Panel(
            "Refused by the gateway",
            Unit.SHARE,
            "Share of the answers with a code of 400 or more.",
            (
                Query(
                    f'(sum(rate({m.GATEWAY_REQUESTS.name}{{code=~"[45].."}}[$__rate_interval])) or vector(0))'
                    f" / sum(rate({m.GATEWAY_REQUESTS.name}[$__rate_interval]))",
                    "refused or failed",
                    RUNS,
                ),
            ),
            maximum=1,
        ),
        Panel(
            "Time in the gateway",
            Unit.SECONDS,
            m.GATEWAY_DURATION.meaning,
            tuple(quantile(m.GATEWAY_DURATION, share) for share in (0.5, 0.99)),
        ),
        Panel(
            "Budgets: used",
            Unit.NUMBER,
            m.BUDGET_USED.meaning,
            (largest(m.BUDGET_USED, "budget", needs="budgets"),),
        ),
        Panel(
            "Budgets: limit",
            Unit.NUMBER,
            m.BUDGET_LIMIT.meaning,
            (largest(m.BUDGET_LIMIT, "budget", needs="budgets"),),
        ),
        Panel(
            "Canary",
            Unit.PERCENT,
            m.CANARY_PERCENT.meaning,
            (largest(m.CANARY_PERCENT, needs=CANARY, legend="share of the targets"),),
            maximum=100,
        ),
        Panel(
            "Canary's phase",
            Unit.NUMBER,
            m.CANARY_PHASE.meaning,
            (Query(f"max by (phase) ({m.CANARY_PHASE.name}) == 1", "{{phase}}", CANARY),),
        ),
        Panel(
            "Restored",
            Unit.NUMBER,
            m.ROLLBACKS.meaning,
            (Query(f"sum by (reason) ({m.ROLLBACKS.name})", "{{reason}}", CANARY),),
        ),
        Panel(
            "Restarts of the program",
            Unit.NUMBER,
            m.AUTOMATION_RESTARTS.meaning,
            (largest(m.AUTOMATION_RESTARTS, needs=RUNS, legend="restarts"),),
        ),
        Panel(
            "Faults of the Kubernetes API",
            Unit.PER_SECOND,
            m.GATEWAY_FAULTS.meaning,
            (rate(m.GATEWAY_FAULTS, "fault", needs="fault api-errors"),),
        ),
    ),
)
