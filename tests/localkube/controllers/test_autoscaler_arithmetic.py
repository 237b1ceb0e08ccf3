"""An autoscaler's arithmetic. The cases with three and five pods are upstream's published ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.kube.objects import KubeObject
from lab.localkube.controllers.autoscaler_limits import Bounds, Decision, History
from lab.localkube.controllers.autoscaler_replicas import (
    MetricError,
    Question,
    for_average,
    for_utilization,
)
from lab.localkube.protocols import ContainerUsage

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STAMP = "%Y-%m-%dT%H:%M:%SZ"


def pod(
    index: int,
    phase: str = "Running",
    *,
    ready: bool = True,
    started: float = 3600,
    request: str | None = "1",
) -> KubeObject:
    """A pod that started so many seconds ago and turned ready, or never did, 10 s later."""
    begun = NOW - timedelta(seconds=started)
    turned = (begun + timedelta(seconds=10)).strftime(STAMP)
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": turned}
    resources = {} if request is None else {"requests": {"cpu": request, "memory": "1Gi"}}
    return {
        "metadata": {"name": f"pod-{index}", "namespace": "default"},
        "spec": {"containers": [{"name": "main", "resources": resources}]},
        "status": {"phase": phase, "startTime": begun.strftime(STAMP), "conditions": [condition]},
    }


def deleted(index: int) -> KubeObject:
    return pod(index) | {
        "metadata": {"name": f"pod-{index}", "namespace": "default", "deletionTimestamp": NOW.strftime(STAMP)}
    }


def question(pods: list[KubeObject], replicas: int, container: str = "") -> Question:
    return Question("cpu", container, pods, replicas, NOW)


def usage_of(levels: list[int | None], window: float = 15.0) -> Any:
    """What pod N uses, in thousandths of a core; None has not been measured."""

    def usage(pod: KubeObject) -> dict[str, ContainerUsage]:
        index = int(pod["metadata"]["name"].removeprefix("pod-"))
        level = levels[index] if index < len(levels) else None
        return {} if level is None else {"main": ContainerUsage(level / 1000, 1 << 30, NOW, window)}

    return usage


def ready(count: int) -> list[KubeObject]:
    return [pod(index) for index in range(count)]


UNREADY: dict[str, Any] = {"ready": False}
HOT: dict[str, Any] = {"started": 12}
CASES: list[tuple[str, list[KubeObject], list[int | None], int, int, int, int]] = [
    # name, pods, levels, target %, replicas now, replicas then, utilization
    ("up", ready(3), [300, 500, 700], 30, 3, 5, 50),
    ("up less, one unready", [pod(0, **UNREADY), pod(1), pod(2)], [300, 500, 700], 30, 3, 4, 60),
    ("up less, one just started", [pod(0, **HOT), pod(1), pod(2)], [300, 500, 700], 30, 3, 4, 60),
    ("not up, two unready", [pod(0), pod(1, **UNREADY), pod(2, **UNREADY)], [400, 500, 700], 30, 3, 3, 40),
    ("failed pods do not count", [*ready(2), pod(2, "Failed"), pod(3, "Failed")], [500, 700], 30, 2, 4, 60),
    ("deleted pods do not count", [*ready(2), deleted(2), deleted(3)], [500, 700], 30, 2, 4, 60),
    ("down", ready(5), [100, 300, 500, 250, 250], 50, 5, 3, 28),
    (
        "down past unready ones",
        [*ready(3), pod(3, **UNREADY), pod(4, **UNREADY)],
        [100, 300, 500, 250, 250],
        50,
        5,
        2,
        30,
    ),
    (
        "down past pending ones",
        [pod(0), *(pod(index, "Pending", ready=False) for index in range(1, 5))],
        [100],
        50,
        5,
        1,
        10,
    ),
    ("within the tolerance", ready(3), [1010, 1030, 1020], 100, 3, 3, 102),
    ("missing ones at the target", ready(2), [1000], 100, 2, 2, 100),
    ("missing ones hold back growth", ready(2), [1900], 100, 2, 2, 190),
    ("missing ones hold back shrinking", ready(2), [600], 100, 2, 2, 60),
    ("missing and unready", [pod(0, **UNREADY), pod(1), pod(2)], [100, 450], 50, 3, 3, 45),
    ("missing and unready, up", [pod(0, **UNREADY), pod(1), pod(2)], [100, 2000], 50, 3, 4, 200),
    ("missing and unready, down", [pod(0, **UNREADY), pod(1), pod(2), pod(3)], [100, 100, 100], 50, 4, 3, 10),
]


@pytest.mark.parametrize(
    ("pods", "levels", "target", "now", "then", "utilization"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_target_in_percent(
    pods: list[KubeObject], levels: list[int | None], target: int, now: int, then: int, utilization: int
) -> None:
    found = for_utilization(question(pods, now), usage_of(levels), target)
    assert (found.replicas, found.utilization) == (then, utilization)


@pytest.mark.parametrize(
    ("levels", "target", "now", "then", "average"),
    [
        ([300, 500, 700], 300, 3, 5, 500),
        ([12000] * 5, 20000, 5, 3, 12000),
        ([1010, 1030, 1020], 1000, 3, 3, 1020),
        ([500, None], 1000, 2, 2, 500),
        ([2500, None], 1000, 2, 3, 2500),
    ],
)
def test_a_target_for_each_pod(
    levels: list[int | None], target: int, now: int, then: int, average: int
) -> None:
    found = for_average(question(ready(len(levels)), now), usage_of(levels), target)
    assert (found.replicas, found.average, found.utilization) == (then, average, None)


def test_memory_is_compared_with_what_is_requested_of_it() -> None:
    asked = Question("memory", "", ready(2), 2, NOW)
    assert for_utilization(asked, usage_of([0, 0]), 50).replicas == 4
    assert for_utilization(asked, usage_of([0, 0]), 50).average == (1 << 30) * 1000


@pytest.mark.parametrize(
    ("pods", "levels", "container", "message"),
    [
        ([], [], "", "no metrics returned from resource metrics API"),
        (ready(2), [], "", "no metrics returned from resource metrics API"),
        ([pod(0, **UNREADY)], [5], "", "did not receive metrics for targeted pods (pods might be unready)"),
        ([pod(0, request=None)], [5], "", "missing request for cpu in container main of Pod pod-0"),
        (ready(1), [5], "other", "container other not present in metrics for pod default/pod-0"),
    ],
)
def test_what_cannot_be_known(
    pods: list[KubeObject], levels: list[int | None], container: str, message: str
) -> None:
    with pytest.raises(MetricError) as failed:
        for_utilization(question(pods, 1, container), usage_of(levels), 50)
    assert str(failed.value) == message


def decide(
    history: History, now: float, current: int, desired: int, behavior: Any = None, most: int = 100
) -> Decision:
    history.begin(now, current)
    decision = history.decide(now, Bounds(1, most, current), desired, behavior)
    if decision.replicas != current:
        history.scaled(now, current, decision.replicas)
    return decision


@pytest.mark.parametrize(
    ("current", "desired", "most", "then", "reason"),
    [
        (1, 9, 100, 4, "ScaleUpLimit"),
        (3, 9, 100, 6, "ScaleUpLimit"),
        (3, 9, 5, 5, "TooManyReplicas"),
        (3, 4, 5, 4, "DesiredWithinRange"),
        (3, 3, 5, 3, "DesiredWithinRange"),
    ],
)
def test_without_a_behavior_it_at_most_doubles(
    current: int, desired: int, most: int, then: int, reason: str
) -> None:
    decision = decide(History(), 0.0, current, desired, most=most)
    assert (decision.replicas, decision.limit[0]) == (then, reason)
    assert decision.limited == (then != desired)


def test_it_shrinks_only_once_nothing_higher_was_wanted_for_five_minutes() -> None:
    history = History()
    assert decide(history, 0.0, 5, 5).able[0] == "ReadyForNewScale"
    held = decide(history, 299.0, 5, 1)
    assert (held.replicas, held.able[0]) == (5, "ScaleDownStabilized")
    assert decide(history, 301.0, 5, 1).replicas == 1
    low = decide(history, 700.0, 2, 0)
    assert (low.replicas, low.limit[0]) == (1, "TooFewReplicas")


def test_the_rates_of_a_behavior() -> None:
    up = {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}
    down = {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
    }
    behavior = {"scaleUp": up, "scaleDown": down}
    history = History()
    assert (decide(history, 0.0, 3, 10, behavior).replicas) == 5
    held = decide(history, 30.0, 5, 10, behavior)
    assert (held.replicas, held.limited, held.limit[0]) == (5, True, "ScaleUpLimit")
    assert decide(history, 61.0, 5, 10, behavior).replicas == 7
    assert decide(history, 200.0, 7, 1, behavior).replicas == 3
    held = decide(history, 230.0, 3, 1, behavior)
    assert (held.replicas, held.limit[0]) == (3, "ScaleDownLimit")


@pytest.mark.parametrize(("select", "then"), [("Max", 20), ("Min", 12), ("Disabled", 10)])
def test_which_policy_counts(select: str, then: int) -> None:
    policies = [
        {"type": "Pods", "value": 2, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ]
    behavior = {"scaleUp": {"selectPolicy": select, "policies": policies}}
    assert decide(History(), 0.0, 10, 50, behavior).replicas == then


def test_a_window_for_growing_holds_back_a_short_peak() -> None:
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 60}, "scaleDown": {}}
    history = History()
    assert decide(history, 0.0, 2, 2, behavior).replicas == 2
    held = decide(history, 15.0, 2, 4, behavior)
    assert (held.replicas, held.able[0]) == (2, "ScaleUpStabilized")
    assert decide(history, 61.0, 2, 4, behavior).replicas == 4
