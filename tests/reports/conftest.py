"""A run with a bit of everything, in the wire forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.core.clock import TimeScale, rfc3339
from lab.core.exercise import Toil
from lab.core.verdict import Axis, CheckResult, Grade, Severity, Verdict
from lab.economics.ledger import Investment, ledger
from lab.reports.journal import Episode, RunJournal

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: float) -> str:
    return rfc3339(START + timedelta(seconds=minutes))


def fault(number: int, start: float, minutes: float | None, *, decoy: bool = False) -> dict[str, Any]:
    return {
        "id": f"f{number}",
        "fault": "hung-workers",
        "decoy": decoy,
        "parameters": {},
        "state": "undone",
        "target": {"kind": "Pod", "namespace": "shop", "name": f"worker-{number}", "partition": number},
        "plannedAt": at(start),
        "appliedAt": at(start),
        "undoneAt": None if minutes is None else at(start + minutes),
        "undoneBy": minutes and "restart",
    }


def incident(number: int, start: float, minutes: float, by: str, busy: float) -> dict[str, Any]:
    action = {
        "by": by,
        "action": "restart",
        "target": {"kind": "Pod", "namespace": "shop", "name": f"worker-{number}"},
        "startedAt": at(start + 1),
        "endedAt": at(start + 1 + busy),
        "outcome": "success",
    }
    return {
        "id": f"INC-{number}",
        "fingerprint": str(number),
        "alertname": "OrdersWaitingTooLong",
        "labels": {"partition": str(number)},
        "annotations": {},
        "severity": "critical",
        "status": "resolved",
        "startsAt": at(start),
        "openedAt": at(start),
        "acknowledgedAt": at(start + 1),
        "acknowledgedBy": by,
        "resolvedAt": at(start + minutes),
        "resolvedBy": "alert",
        "actions": [action],
    }


def record(number: int, minute: float, **more: Any) -> dict[str, Any]:
    return {
        "seq": number,
        "time": at(minute),
        "actor": "automation",
        "mode": "live",
        "verb": "delete",
        "group": "",
        "resource": "pods",
        "subresource": "",
        "namespace": "shop",
        "name": f"worker-{number}",
        "decision": "allowed",
        "code": 200,
        "latency_ms": 3.0,
        "mutating": True,
        "dry_run": False,
        "reason": "",
        "diff": [],
        "before": None,
        "incident": f"INC-{number}",
        "note": "hung",
        "fault": "",
        "user_agent": "",
    } | more


def make_checks() -> tuple[CheckResult, ...]:
    return (
        CheckResult("impact", "Hung workers are restarted", Axis.IMPACT, 25, Verdict.PASS, 25, group="live"),
        CheckResult(
            "decoys",
            "Slow workers are left alone",
            Axis.RISK,
            20,
            Verdict.FAIL,
            0,
            group="live",
            expected="no request names a healthy worker",
            seen="3 requests do",
            evidence=("#14 delete pods/w3",),
            look_at="the condition for hung",
            next_command="kubectl -n shop logs w3",
        ),
        CheckResult("late", "Escalates", Axis.DEPTH, 10, Verdict.INCONCLUSIVE, seen="the window closed"),
        CheckResult("broken", "Posts a status", Axis.CULTURE, 10, Verdict.ERROR, seen="the pager was down"),
        CheckResult("absent", "Uses the memory limit", Axis.DEPTH, 5, Verdict.SKIPPED, seen="needs kind"),
    )


def make_grade(checks: tuple[CheckResult, ...] | None = None) -> Grade:
    return Grade(
        "stuck-workers",
        "restarter",
        7,
        "local",
        make_checks() if checks is None else checks,
        52.3,
        "r",
        at(0),
    )


def catastrophe() -> CheckResult:
    return CheckResult(
        "switch", "The kill switch stops it", Axis.RISK, 20, Verdict.FAIL, 0, Severity.CATASTROPHIC, "control"
    )


def make_journal() -> RunJournal:
    by_hand = [incident(n, n, 9 + n, "human:ann", 4 + n / 3) for n in range(5)]
    by_program = [incident(n, 5 * n + 3, 1.5, "restarter", 0.1) for n in range(4)]
    faults = [fault(n, 5 * n, 4.0 + n / 10) for n in range(4)]
    made = ledger(
        Toil("Restart hung workers", 50, 5, 90),
        TimeScale(60.0),
        before=(by_hand, [fault(n, 0, 12.0 + n) for n in range(5)]),
        after=(by_program, faults),
        investment=Investment(40, 2),
    )
    live = Episode(
        "live",
        "Live",
        "live",
        at(0),
        at(30),
        60.0,
        tuple(by_program),
        (),
        (*faults, fault(9, 12, None, decoy=True)),
        (record(1, 4), record(2, 9, decision="refused", code=403), record(3, 10, verb="get", mutating=False)),
        marks=({"at": at(8), "what": "kill switch on"},),
    )
    shadow = Episode(
        "shadow",
        "Shadow",
        "shadow",
        at(0),
        at(30),
        60.0,
        tuple(by_hand),
        (),
        tuple(faults),
        (record(1, 4, decision="shadowed", dry_run=True),),
        shadow={
            "matches": [{"trouble": "hang of worker-1", "began": 5.0, "intent": 8.2, "human": None}],
            "false_actions": [],
            "agreement": 1.0,
            "verdict": "promote",
            "reasons": [],
        },
    )
    return RunJournal(
        "20260101-000000-stuck-workers-s7",
        at(0),
        "grade",
        "stuck-workers",
        "restarter",
        {"seed": 7},
        make_grade(),
        (live, shadow),
        made.as_dict(),
        ("a note",),
    )


@pytest.fixture
def journal() -> RunJournal:
    return make_journal()


@pytest.fixture
def grade() -> Grade:
    return make_grade()


@pytest.fixture
def breached() -> Grade:
    return make_grade((*make_checks(), catastrophe()))
