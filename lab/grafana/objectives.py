"""The dashboard of the objectives: the promise, the budget, how fast it burns, and what alerts."""

from __future__ import annotations

from lab.grafana.board import Board, Panel, Query, Unit
from lab.slo.burn import ratio_name
from lab.slo.windows import BURN_WINDOWS, lab_duration

HOURS = tuple(sorted({hours for pair in BURN_WINDOWS for hours in (pair.short_hours, pair.long_hours)}))

BOARD = Board(
    "slo",
    "toil-lab: objectives",
    "What customers are promised, how much of the error budget is left, and which alerts fire.",
    (
        Panel(
            "Objective",
            Unit.SHARE,
            "The promised share of good events.",
            (Query("max by (slo) (slo:objective:ratio)", "{{slo}}"),),
            now=True,
            maximum=1,
        ),
        Panel(
            "Error budget left",
            Unit.SHARE,
            "Of the budget that three lab days allow, or the lab's whole life while it is younger.",
            (Query("1 - max by (slo) (slo:longest_burn_rate:ratio)", "{{slo}}"),),
            now=True,
            minimum=None,
        ),
        Panel(
            "Burn rate now",
            Unit.NUMBER,
            "How many times faster than the objective allows errors come, over five lab minutes.",
            (Query("max by (slo) (slo:current_burn_rate:ratio)", "{{slo}}"),),
            now=True,
        ),
        Panel(
            "Alerts that fire",
            Unit.NUMBER,
            "All of them; the heartbeat Watchdog is always one.",
            (Query('count(ALERTS{alertstate="firing"})', "firing"),),
            now=True,
        ),
        Panel(
            "Share of bad events, by window",
            Unit.SHARE,
            "The recorded error ratios that the burn-rate alerts compare; windows in lab time.",
            tuple(
                Query(f"max by (slo) ({ratio_name(hours)})", f"{{{{slo}}}} {lab_duration(hours)}")
                for hours in HOURS
            ),
        ),
        Panel(
            "Burn rate",
            Unit.NUMBER,
            "1 spends the budget in the period. 14.4 and 6 page, 3 and 1 open a ticket.",
            (
                Query("max by (slo) (slo:current_burn_rate:ratio)", "{{slo}} over 5m"),
                Query("max by (slo) (slo:longest_burn_rate:ratio)", "{{slo}} over 3d"),
            ),
        ),
        Panel(
            "Alerts by name",
            Unit.NUMBER,
            "How many of each fire.",
            (
                Query(
                    'count by (alertname, severity) (ALERTS{alertstate="firing"})',
                    "{{alertname}} {{severity}}",
                ),
            ),
        ),
        Panel(
            "Burn-rate alerts",
            Unit.NUMBER,
            "Which pair of windows fires.",
            (
                Query(
                    'sum by (long, short, severity) (ALERTS{alertname="ErrorBudgetBurn"})',
                    "{{long}} and {{short}}: {{severity}}",
                    "fault hung-workers",
                ),
            ),
        ),
        Panel(
            "Targets that answer",
            Unit.NUMBER,
            "Pods that Prometheus scrapes, by app; a dip is a gap in what all of this stands on.",
            (Query("sum by (app) (up)", "{{app}}"),),
        ),
        Panel(
            "How long a scrape takes",
            Unit.SECONDS,
            "The slowest pod of each app.",
            (Query("max by (app) (scrape_duration_seconds)", "{{app}}"),),
        ),
    ),
)
