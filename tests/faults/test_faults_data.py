"""Faults as data: parameters, journal entries, plans, victims; all without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.clock import TimeScale
from lab.core.fault import FaultState, FaultTarget, JournalEntry, read_span
from lab.core.fault_plan import Plan
from lab.core.seed import stream
from lab.errors import UsageError
from lab.faults.fault import Partition, choose_partitions, holders
from lab.faults.medium import NoVictimError, OccupiedError
from lab.faults.registry import FAULTS, SPECS
from lab.faults.scheduler import TOIL_LEAST_LAB_MINUTES, TOIL_MEAN_LAB_MINUTES, toil_gap

NOW = datetime(2030, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
QUEUE = [Partition(n, share, f"worker-{n}") for n, share in enumerate((0.3, 0.3, 0.2, 0.1, 0.097, 0.003))]


def test_every_fault_has_a_catalogue_entry_with_units_and_ranges() -> None:
    assert {"hung-workers", "slow-worker"} <= set(FAULTS) == set(SPECS)
    for name, spec in SPECS.items():
        wire = spec.as_dict()
        assert wire["name"] == name
        assert wire["summary"].endswith(".")
        for parameter in wire["parameters"]:
            assert parameter["meaning"].endswith(".")
            if parameter["type"] in ("integer", "number"):
                assert parameter["unit"], (name, parameter)
                assert parameter["minimum"] < parameter["maximum"]


def test_defaults_fill_in_and_an_absent_choice_stays_absent() -> None:
    assert SPECS["hung-workers"].read({}) == {"count": 1, "recurring": False}
    assert SPECS["hung-workers"].read({"count": 2.0, "partition": None}) == {"count": 2, "recurring": False}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"count": 0}, "count is at least 1, not 0"),
        ({"count": 41}, "count is at most 40, not 41"),
        ({"count": 1.5}, "count is a whole number, not 1.5"),
        ({"count": True}, "count is a whole number, not True"),
        ({"count": float("nan")}, "count is a whole number, not nan"),
        ({"partition": "3"}, "partition is a whole number, not '3'"),
        ({"recurring": 1}, "recurring is true or false, not 1"),
        ({"speed": 1}, "there is no parameter 'speed'"),
    ],
)
def test_a_wrong_parameter_is_named(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match="fault hung-workers") as caught:
        SPECS["hung-workers"].read(parameters)
    assert message in caught.value.message
    assert "recurring" in caught.value.hint


def test_a_clock_is_off_by_something() -> None:
    spec = SPECS["clock-skew"]
    assert spec.read({"seconds": 0.5})["seconds"] == 0.5
    for seconds, problem in ((0, "is not 0"), (-3601, "at least -3600"), ("x", "is a number")):
        with pytest.raises(UsageError, match=problem):
            spec.read({"seconds": seconds})


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        SPECS["slow-worker"].read({"count": 0, "ordersPerSecond": 0, "x": 1})
    assert caught.value.message.count(";") == 2


def test_a_journal_entry_survives_the_wire() -> None:
    entry = JournalEntry("f-0001", "f", FaultTarget("Pod", "shop", "w", 3), True, {"count": 1}, NOW)
    later = entry.applied(NOW + timedelta(seconds=1), 10).undone(NOW + timedelta(seconds=2), "restart")
    for given_entry in (entry, later, entry.failed("no database")):
        assert JournalEntry.from_dict(given_entry.as_dict()) == given_entry
    assert later.as_dict()["expiresAt"] == "2030-01-01T12:00:11.000005Z"
    assert entry.as_dict()["undoneBy"] is None
    assert (entry.open, later.open, later.state) == (True, False, FaultState.UNDONE)


def test_a_lease_counts_from_when_the_fault_bites() -> None:
    entry = JournalEntry("f-0001", "f", FaultTarget("Pod", "shop", "w"), False, {}, NOW)
    active = entry.applied(NOW, 10)
    assert not active.expired(NOW + timedelta(seconds=9.9))
    assert active.expired(NOW + timedelta(seconds=10))
    assert not entry.applied(NOW, None).expired(NOW + timedelta(days=400))


@given(st.floats(min_value=0, max_value=86_400))
def test_a_span_is_seconds_within_a_day(value: float) -> None:
    assert read_span(value, "forSeconds") == value


@given(
    st.none()
    | st.booleans()
    | st.text()
    | st.lists(st.integers())
    | st.floats(max_value=-0.001)
    | st.floats(min_value=86_401)
    | st.just(float("nan"))
)
def test_anything_else_is_no_span(value: Any) -> None:
    with pytest.raises(UsageError, match="forSeconds"):
        read_span(value, "forSeconds")


def test_a_plan_is_sorted_and_survives_the_wire() -> None:
    steps = [
        {"atSeconds": 9, "fault": "slow-worker"},
        {"atSeconds": 1.5, "fault": "hung-workers", "forSeconds": 3, "parameters": {"count": 2}},
    ]
    plan = Plan.from_dict({"seed": 4, "steps": steps}, SPECS)
    assert [step.fault for step in plan.steps] == ["hung-workers", "slow-worker"]
    assert Plan.from_dict(plan.as_dict(), SPECS) == plan


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "a schedule is"),
        ({"steps": {}}, "a schedule is"),
        ({"seed": "x", "steps": []}, "seed is a whole number"),
        ({"steps": [1]}, "step 0: is an object"),
        ({"steps": [{"fault": "no"}]}, "step 0: there is no fault 'no'"),
        ({"steps": [{"fault": "slow-worker", "atSeconds": -1}]}, "step 0: atSeconds is between"),
        ({"steps": [{"fault": "slow-worker", "forSeconds": 0}]}, "step 0: forSeconds is between"),
        ({"steps": [{"fault": "slow-worker", "parameters": [1]}]}, "step 0: parameters is an object"),
        ({"steps": [{"fault": "slow-worker", "parameters": {"count": 0}}]}, "step 0: fault slow-worker"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_step(data: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Plan.from_dict(data, SPECS)


def test_the_seed_alone_chooses_the_victims() -> None:
    renamed = [Partition(p.number, p.share, f"other-{p.number}") for p in reversed(QUEUE)]
    for seed in range(20):
        chosen = choose_partitions({"count": 3}, QUEUE, (), stream(seed, "v"))
        assert chosen == choose_partitions({"count": 3}, renamed, (), stream(seed, "v"))
    assert len({tuple(choose_partitions({}, QUEUE, (), stream(seed, "v"))) for seed in range(40)}) == 5


def test_an_idle_partition_is_no_victim_by_chance_and_one_on_request() -> None:
    for seed in range(40):
        assert 5 not in choose_partitions({"count": 5}, QUEUE, (), stream(seed, "v"))
    assert choose_partitions({"partition": 5}, QUEUE, (), stream(1)) == [5]


def test_a_share_is_of_all_partitions_that_have_no_fault() -> None:
    assert sorted(choose_partitions({"share": 1.0}, QUEUE, (), stream(1))) == [p.number for p in QUEUE]
    assert len(choose_partitions({"share": 0.5}, QUEUE, (), stream(1))) == len(QUEUE) / 2
    assert sorted(choose_partitions({"share": 1.0}, QUEUE, {1, 2}, stream(1))) == [0, 3, 4, 5]
    with pytest.raises(NoVictimError):
        choose_partitions({"share": 1.0}, QUEUE, range(6), stream(1))


def test_a_partition_that_this_lab_does_not_have_is_named() -> None:
    with pytest.raises(UsageError, match="there is no partition 6: this lab has 6"):
        choose_partitions({"partition": 6}, QUEUE, (), stream(1))


def test_no_partition_is_hit_twice_at_once() -> None:
    for seed in range(20):
        assert not {0, 2} & set(choose_partitions({"count": 3}, QUEUE, {0, 2}, stream(seed, "v")))
    with pytest.raises(NoVictimError, match="only 3 busy ones"):
        choose_partitions({"count": 4}, QUEUE, {0, 2}, stream(1))
    with pytest.raises(OccupiedError, match="partition 2 has a fault already"):
        choose_partitions({"partition": 2}, QUEUE, {0, 2}, stream(1))
    with pytest.raises(UsageError, match="count must be 1"):
        choose_partitions({"partition": 2, "count": 2}, QUEUE, (), stream(1))


def test_a_partition_without_a_holder_has_no_victim_now() -> None:
    assert holders([1, 0], QUEUE) == [
        FaultTarget("Pod", "shop", "worker-1", 1),
        FaultTarget("Pod", "shop", "worker-0", 0),
    ]
    with pytest.raises(NoVictimError, match="no worker holds partition 0"):
        holders([0], [Partition(0, 1.0, None)])


def test_a_hang_names_the_pod_and_a_recurring_one_the_partition() -> None:
    target, scale = FaultTarget("Pod", "shop", "w", 3), TimeScale(120)
    hung, slow = FAULTS["hung-workers"], FAULTS["slow-worker"]
    once = hung.directive(target, {"recurring": False}, scale)
    again = hung.directive(target, {"recurring": True}, scale)
    assert (once.mode, once.pod, once.partition) == ("hang", "w", None)
    assert (again.mode, again.pod, again.partition) == ("hang", None, 3)
    lazy = slow.directive(target, {"ordersPerSecond": 1.0, "peakLabMinutes": 2.0}, scale)
    assert lazy.parameters == {"ordersPerSecond": 1.0, "peakSeconds": 4.0}
    assert (hung.outlives({"recurring": True}), hung.outlives({}), slow.outlives({})) == (True, False, False)


def test_toil_comes_every_twelve_lab_minutes_on_average_and_never_at_once() -> None:
    scale = TimeScale(60)
    gaps = [scale.lab_minutes(toil_gap(3, number, scale)) for number in range(4000)]
    assert min(gaps) >= TOIL_LEAST_LAB_MINUTES
    assert abs(sum(gaps) / len(gaps) - TOIL_MEAN_LAB_MINUTES) < 0.5
    assert gaps[:5] == [scale.lab_minutes(toil_gap(3, number, scale)) for number in range(5)]
    assert toil_gap(4, 0, scale) != toil_gap(3, 0, scale)
