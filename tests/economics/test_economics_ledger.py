"""The ledger from incidents and fault journals in the wire form."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.core.clock import TimeScale, rfc3339
from lab.core.exercise import Toil
from lab.economics.handling import handlings, is_human, measure, people_minutes, recovery_minutes
from lab.economics.ledger import WEEKS_PER_MONTH, Investment, ledger

SCALE = TimeScale(60.0)  # a lab minute is a second
START = datetime(2026, 1, 1, tzinfo=UTC)
TOIL = Toil(task="Restart hung workers", per_week=50, minutes=5, hourly_cost=90)


def at(minutes: float) -> str:
    return rfc3339(START + timedelta(seconds=minutes))


def incident(
    number: int, *, minutes: float, by: str, busy: float, outcome: str = "success"
) -> dict[str, Any]:
    return {
        "id": f"INC-{number}", "fingerprint": f"f{number}", "alertname": "OrdersWaitingTooLong",
        "labels": {"partition": str(number)},
        "annotations": {}, "severity": "critical", "status": "resolved", "startsAt": at(0), "openedAt": at(1),
        "acknowledgedAt": at(3), "acknowledgedBy": by, "resolvedAt": at(1 + minutes), "resolvedBy": "alert",
        "actions": [
            {"by": by, "action": "restart", "target": {}, "startedAt": at(3),
             "endedAt": at(3 + busy), "outcome": outcome}
        ],
    }  # fmt: skip


def fault(number: int, minutes: float, *, decoy: bool = False, by: str = "restart") -> dict[str, Any]:
    return {
        "id": f"f{number}", "fault": "hung-workers",
        "target": {"kind": "Pod", "namespace": "shop", "name": "w", "partition": number},
        "decoy": decoy, "parameters": {}, "plannedAt": at(0), "appliedAt": at(0), "undoneAt": at(minutes),
        "undoneBy": by, "state": "undone",
    }  # fmt: skip


BY_HAND = [incident(n, minutes=8 + n, by="human:ann", busy=4 + n / 2) for n in range(5)]
BY_PROGRAM = [incident(n, minutes=1, by="restarter", busy=0.1) for n in range(4)]
SLOW = [fault(n, 10 + n) for n in range(5)]
QUICK = [fault(n, 1 + n / 10) for n in range(5)]


def test_an_incident_is_read_in_lab_minutes() -> None:
    (found,) = handlings([incident(1, minutes=9, by="human:ann", busy=4)], SCALE)
    assert (found.handled_by, found.acknowledge_minutes, found.resolve_minutes) == ("human", 2.0, 9.0)
    assert (found.hands_on_minutes, found.attempts, found.failures) == (4.0, 1, 0)
    (slower,) = handlings([incident(1, minutes=9, by="human:ann", busy=4)], TimeScale(120.0))
    assert slower.hands_on_minutes == 2.0


def test_a_program_takes_nobody_s_time_and_a_failed_action_handles_nothing() -> None:
    first, second = handlings(
        [
            incident(1, minutes=1, by="restarter", busy=3),
            incident(2, minutes=1, by="x", busy=1, outcome="failure"),
        ],
        SCALE,
    )
    assert (first.handled_by, first.hands_on_minutes) == ("automation", 0.0)
    assert (second.handled_by, second.failures) == ("nobody", 1)
    assert is_human("human:ann")
    assert not is_human("humanoid")


def test_decoys_and_expired_leases_are_no_recovery() -> None:
    journal = [fault(1, 4), fault(2, 9, decoy=True), fault(3, 60, by="lease")]
    assert recovery_minutes(journal, SCALE) == (4.0,)


def test_the_figures_of_a_run() -> None:
    found = measure(BY_HAND, SLOW, SCALE)
    assert (found.incidents, found.by_human, found.by_automation) == (5, 5, 0)
    assert (found.resolve_median, found.hands_on_median, found.hands_on_mean) == (10.0, 5.0, 5.0)
    assert found.recovery_median == 12.0
    assert found.resolve_p95 == pytest.approx(11.8)
    assert found.hands_on_interval is not None
    assert found.hands_on_interval.low < 5.0 < found.hands_on_interval.high


def test_nothing_measured_is_nothing_said() -> None:
    found = measure([], [], SCALE)
    assert (found.incidents, found.resolve_median, found.hands_on_mean, found.recovery_median) == (
        0,
        None,
        None,
        None,
    )
    made = ledger(TOIL, SCALE, before=([], []))
    assert (made.before.source, made.before.minutes, made.after) == ("declared", 5, None)


def test_toil_that_nobody_is_paged_for_counts_as_an_occurrence_without_people() -> None:
    found = measure([], QUICK, SCALE)
    assert (found.incidents, found.occurrences, found.hands_on_mean) == (0, 5, 0.0)
    made = ledger(TOIL, SCALE, before=(BY_HAND, SLOW), after=([], QUICK))
    assert made.after is not None
    assert (made.after.source, made.after.hours_per_month) == ("measured", 0)


def test_a_page_counts_for_the_latest_fault_of_its_partition_and_the_rest_is_shared() -> None:
    stray = incident(77, minutes=5, by="human:ann", busy=3)
    again = fault(1, 4) | {"id": "f9", "appliedAt": at(0.5)}
    pages = [incident(1, minutes=5, by="human:ann", busy=4), stray]
    assert people_minutes(pages, [fault(1, 4), again, fault(2, 4, decoy=True)], SCALE) == (1.5, 5.5)
    assert people_minutes(pages, [], SCALE) == (4.0, 3.0)


def test_a_month_follows_from_the_declared_frequency() -> None:
    made = ledger(TOIL, SCALE, before=(BY_HAND, SLOW))
    assert made.before.source == "measured"
    assert made.before.hours_per_month == pytest.approx(50 * WEEKS_PER_MONTH * 5 / 60)
    assert made.before.cost_per_month == pytest.approx(made.before.hours_per_month * 90)
    assert made.before.hours_interval is not None
    assert made.before.hours_interval.low < made.before.hours_per_month < made.before.hours_interval.high


def test_before_and_after() -> None:
    made = ledger(
        TOIL,
        SCALE,
        before=(BY_HAND, SLOW),
        after=(BY_PROGRAM, QUICK),
        investment=Investment(40, upkeep_hours=2),
    )
    assert made.after is not None
    assert made.after.hours_per_month == 0
    assert made.saved_hours_per_month == pytest.approx(made.before.hours_per_month)
    assert made.shown
    net = made.before.hours_per_month - 2
    assert made.break_even_months == pytest.approx(40 / net)
    assert made.break_even_incidents == pytest.approx(40 / net * 50 * WEEKS_PER_MONTH)
    invested = 40 + 24
    assert made.return_on_investment == pytest.approx(
        (12 * made.before.hours_per_month - invested) / invested
    )
    assert json.loads(json.dumps(made.as_dict()))["shown"] is True


def test_no_gain_is_never_earned_back() -> None:
    made = ledger(TOIL, SCALE, before=(BY_HAND, SLOW), after=(BY_HAND, SLOW), investment=Investment(40))
    assert made.break_even_months is None
    assert made.return_on_investment == -1.0
    assert not made.shown


def test_negative_hours_are_no_investment() -> None:
    with pytest.raises(ValueError, match="negative"):
        Investment(-1)
