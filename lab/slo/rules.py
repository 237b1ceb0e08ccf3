"""Alert rules and recording rules of the lab, as a function of the time scale.

    rule_files(scale)         {"rules.yml": text}
    prometheus_config(scale)  the text of prometheus.yml

Alerts are on symptoms that customers feel (orders that wait, budget that burns) and on the automation's own
success rate; `Watchdog` fires always, so that a broken way to the pager shows as its absence.
"""

from __future__ import annotations

from typing import Any

import yaml

from lab.core.clock import TimeScale
from lab.metrics.catalogue import AUTO_SUCCESS_RATE, LOAD_REQUESTS, QUEUE_OLDEST_AGE
from lab.metrics.metric import Metric
from lab.slo.burn import burn_groups
from lab.slo.objectives import OBJECTIVES
from lab.slo.prometheus import RULES_FILE, prometheus_config
from lab.slo.windows import SCRAPE_SECONDS, prometheus_duration

__all__ = ["prometheus_config", "rule_files"]

RUNBOOKS = "docs/runbooks.md"
"""The page that every alert's runbook_url leads to, with the alert's name as the section."""

WAITING_LAB_MINUTES = 3.0
UNANSWERED_LAB_MINUTES = 3.0
UNANSWERED_SHARE = 0.5
SUCCESS_RATE_FLOOR = 0.95
GAP_SECONDS = 3 * SCRAPE_SECONDS
"""A gauge keeps its last value this long, so that a missed scrape or two neither ends nor starts an alert."""

Json = dict[str, Any]


def rule_files(scale: TimeScale, *, runbooks: str = RUNBOOKS) -> dict[str, str]:
    """File name to text of every rule file. `runbooks`: address of the runbook page, without a fragment."""
    groups = [
        {"name": "shop", "rules": [orders_waiting(scale, runbooks), not_answering(scale, runbooks)]},
        {"name": "automation", "rules": [success_rate_low(runbooks)]},
        {"name": "meta", "rules": [watchdog(runbooks)]},
    ]
    for objective in OBJECTIVES:
        groups += burn_groups(objective, scale, f"{runbooks}#errorbudgetburn")
    return {RULES_FILE: yaml.safe_dump({"groups": groups}, sort_keys=False, width=110)}


def _last(gauge: Metric) -> str:
    """PromQL: the gauge now, over a short gap; an instant selector has nothing after a missed scrape."""
    return f"last_over_time({gauge.name}[{prometheus_duration(GAP_SECONDS)}])"


def orders_waiting(scale: TimeScale, runbooks: str = RUNBOOKS) -> Json:
    """A partition's oldest order is older than three lab minutes: the symptom of a worker that hangs."""
    limit = prometheus_duration(scale.real(minutes=WAITING_LAB_MINUTES))
    seconds = scale.real(minutes=WAITING_LAB_MINUTES)
    return {
        "alert": "OrdersWaitingTooLong",
        "expr": f"max by (partition) ({_last(QUEUE_OLDEST_AGE)}) > {seconds:g}",
        "for": prometheus_duration(SCRAPE_SECONDS),
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "Orders of partition {{ $labels.partition }} wait too long",
            "description": (
                "The oldest order of partition {{ $labels.partition }} has waited"
                f" {{{{ $value | humanizeDuration }}}}; {limit} is the limit."
            ),
            "runbook_url": f"{runbooks}#orderswaitingtoolong",
        },
    }


def not_answering(scale: TimeScale, runbooks: str = RUNBOOKS) -> Json:
    """Half of the customers get no answer. The api counts only what reaches it, so they are asked."""
    window = prometheus_duration(max(scale.real(minutes=UNANSWERED_LAB_MINUTES), GAP_SECONDS))
    sent = f"increase({LOAD_REQUESTS.name}[{window}])"
    unanswered = f'increase({LOAD_REQUESTS.name}{{code=~"error|timeout"}}[{window}])'
    return {
        "alert": "ShopNotAnswering",
        "expr": f"sum({unanswered}) / sum({sent}) > {UNANSWERED_SHARE:g}",
        "for": prometheus_duration(2 * SCRAPE_SECONDS),
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "Customers get no answer",
            "description": (
                "{{ $value | humanizePercentage }} of the orders of the last lab minutes got no answer;"
                f" {UNANSWERED_SHARE:.0%} is the limit."
            ),
            "runbook_url": f"{runbooks}#shopnotanswering",
        },
    }


def success_rate_low(runbooks: str = RUNBOOKS) -> Json:
    """The automation fails too often. The gauge itself rolls over a lab hour; no attempts give no sample."""
    return {
        "alert": "ToilAutomationSuccessRateLow",
        "expr": f"min by (app) ({_last(AUTO_SUCCESS_RATE)}) < {SUCCESS_RATE_FLOOR}",
        "for": prometheus_duration(3 * SCRAPE_SECONDS),
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "The automation {{ $labels.app }} repairs less than it should",
            "description": (
                "{{ $value | humanizePercentage }} of its remediations of the last lab hour succeeded;"
                f" {SUCCESS_RATE_FLOOR:.0%} is the floor."
            ),
            "runbook_url": f"{runbooks}#toilautomationsuccessratelow",
        },
    }


def watchdog(runbooks: str = RUNBOOKS) -> Json:
    """Fires always. Its absence at the pager means that no alert would arrive."""
    return {
        "alert": "Watchdog",
        "expr": "vector(1)",
        "labels": {"severity": "none"},
        "annotations": {
            "summary": "Alerting works",
            "description": "This alert fires always; it never opens an incident.",
            "runbook_url": f"{runbooks}#watchdog",
        },
    }
