"""How many replicas a metric asks for.

Source: pkg/controller/podautoscaler/{replica_calculator.go,metrics/}.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lab.core.clock import parse_rfc3339
from lab.kube.objects import KubeObject, name_of, namespace_of
from lab.kube.quantity import parse_quantity
from lab.localkube.controllers import pods as podfacts
from lab.localkube.controllers.base import deleting
from lab.localkube.protocols import ContainerUsage

TOLERANCE = 0.1
"""How far from its target a metric may be before anything is done."""
CPU_INITIALIZATION_SECONDS = 300.0
"""How long after its start a pod's use of the cpu counts only when all of it was seen while ready."""
INITIAL_READINESS_SECONDS = 30.0
"""A pod that became unready this early after its start was never ready."""

UsageOf = Callable[[KubeObject], Mapping[str, ContainerUsage]]


class MetricError(Exception):
    """A metric that cannot be had or used; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a pod uses: thousandths of a core or a byte, on average over the `window` seconds to `at`."""

    value: int
    at: datetime
    window: float


Samples = dict[str, Sample]


@dataclass(frozen=True, slots=True)
class Proposal:
    """replicas: how many would bring the metric to its target. average: its value for one pod, in
    thousandths; utilization: the same as a percentage of what is requested, where that is the target.
    """

    replicas: int
    average: int
    utilization: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A resource of the pods of a scale, or of one container in each. replicas: those of the scale now."""

    resource: str
    container: str
    pods: Sequence[KubeObject]
    replicas: int
    now: datetime


def for_utilization(question: Question, usage_of: UsageOf, target: int) -> Proposal:
    """A target in percent of what is requested. Raises MetricError."""
    samples = _samples(question, usage_of)
    groups = _grouped(question, samples)
    if not samples:
        raise MetricError("did not receive metrics for targeted pods (pods might be unready)")
    requests = _requests(question)
    ratio, utilization, average = _utilization(samples, requests, target)

    def fallback(name: str) -> int:
        return requests[name] * max(100, target) // 100

    replicas = _settle(
        question,
        groups,
        samples,
        lambda filled: _utilization(filled, requests, target)[0],
        first=ratio,
        fallback=fallback,
        zero_at_target=False,
    )
    return Proposal(replicas, average, utilization)


def for_average(question: Question, usage_of: UsageOf, target: int) -> Proposal:
    """A target in thousandths for each pod. Raises MetricError."""
    samples = _samples(question, usage_of)
    groups = _grouped(question, samples)
    if not samples:
        raise MetricError("did not receive metrics for targeted pods (pods might be unready)")

    def ratio_of(filled: Samples) -> float:
        return sum(sample.value for sample in filled.values()) // len(filled) / target

    average = sum(sample.value for sample in samples.values()) // len(samples)
    replicas = _settle(
        question,
        groups,
        samples,
        ratio_of,
        first=ratio_of(samples),
        fallback=lambda _: target,
        zero_at_target=True,
    )
    return Proposal(replicas, average)


def _samples(question: Question, usage_of: UsageOf) -> Samples:
    found: Samples = {}
    measured = False
    for pod in question.pods:
        usage = usage_of(pod)
        if not usage:
            continue
        measured = True
        if question.container and question.container not in usage:
            where = f"{namespace_of(pod)}/{name_of(pod)}"
            raise MetricError(f"container {question.container} not present in metrics for pod {where}")
        counted = [usage[question.container]] if question.container else list(usage.values())
        if question.resource in ("cpu", "memory"):
            value = sum(_thousandths(each, question.resource) for each in counted)
            latest = max(counted, key=lambda each: each.at)
            found[name_of(pod)] = Sample(value, latest.at, latest.window)
    if not measured:
        raise MetricError("no metrics returned from resource metrics API")
    return found


def _thousandths(usage: ContainerUsage, resource: str) -> int:
    return usage.memory * 1000 if resource == "memory" else math.ceil(round(usage.cpu * 1e9) / 1e6)


@dataclass(slots=True)
class _Groups:
    ready: int
    unready: set[str]
    missing: set[str]


def _grouped(question: Question, samples: Samples) -> _Groups:
    """Sort the pods, and drop the samples of those that do not count or are not ready."""
    if not question.pods:
        raise MetricError("no pods returned by selector while calculating replica count")
    groups = _Groups(0, set(), set())
    for pod in question.pods:
        name = name_of(pod)
        if deleting(pod) or podfacts.phase(pod) == "Failed":
            samples.pop(name, None)
        elif podfacts.phase(pod) == "Pending":
            groups.unready.add(name)
        elif name not in samples:
            groups.missing.add(name)
        elif question.resource == "cpu" and _unready(pod, samples[name], question.now):
            groups.unready.add(name)
        else:
            groups.ready += 1
    for name in groups.unready:
        samples.pop(name, None)
    return groups


def _unready(pod: KubeObject, sample: Sample, now: datetime) -> bool:
    """Does its use of the cpu say nothing yet, as it is still starting?"""
    status = pod.get("status") or {}
    ready = next((each for each in status.get("conditions") or () if each.get("type") == "Ready"), None)
    if ready is None or not status.get("startTime") or not ready.get("lastTransitionTime"):
        return True
    started, turned = parse_rfc3339(status["startTime"]), parse_rfc3339(ready["lastTransitionTime"])
    if started + timedelta(seconds=CPU_INITIALIZATION_SECONDS) > now:
        return ready["status"] == "False" or sample.at < turned + timedelta(seconds=sample.window)
    return ready["status"] == "False" and started + timedelta(seconds=INITIAL_READINESS_SECONDS) > turned


def _requests(question: Question) -> dict[str, int]:
    """Thousandths that each pod requests. Raises MetricError when a container does not say."""
    found = {}
    for pod in question.pods:
        spec, total = pod["spec"], 0
        sidecars = [
            each for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"
        ]
        for container in (*spec["containers"], *sidecars):
            if question.container in ("", container["name"]):
                amount = ((container.get("resources") or {}).get("requests") or {}).get(question.resource)
                if amount is None:
                    raise MetricError(
                        f"missing request for {question.resource} in container {container['name']} "
                        f"of Pod {name_of(pod)}"
                    )
                total += math.ceil(parse_quantity(amount) * 1000)
        found[name_of(pod)] = total
    return found


def _utilization(samples: Samples, requests: Mapping[str, int], target: int) -> tuple[float, int, int]:
    """The ratio to the target, the percentage, and the average in thousandths."""
    used = sum(sample.value for name, sample in samples.items() if name in requests)
    requested = sum(requests[name] for name in samples if name in requests)
    if not requested:
        raise MetricError("no metrics returned matched known pods")
    percent = used * 100 // requested
    return percent / target, percent, used // len(samples)


def _within(ratio: float) -> bool:
    return abs(1.0 - ratio) <= TOLERANCE


def _settle(
    question: Question,
    groups: _Groups,
    samples: Samples,
    ratio_of: Callable[[Samples], float],
    *,
    first: float,
    fallback: Callable[[str], int],
    zero_at_target: bool,
) -> int:
    """The count for a ratio. Pods that nothing is known of count against the change, whichever way."""
    growing = bool(groups.unready) and first > 1.0
    if not growing and not groups.missing:
        return question.replicas if _within(first) else math.ceil(first * groups.ready)
    filled = dict(samples)
    if first < 1.0:
        filled |= _assumed(groups.missing, fallback, question.now)
    elif first > 1.0 or zero_at_target:
        filled |= _assumed(groups.missing, lambda _: 0, question.now)
    if growing:
        filled |= _assumed(groups.unready, lambda _: 0, question.now)
    again = ratio_of(filled)
    if _within(again) or (first < 1.0 < again) or (first > 1.0 > again):
        return question.replicas
    replicas = math.ceil(again * len(filled))
    turned = (again < 1.0 and replicas > question.replicas) or (again > 1.0 and replicas < question.replicas)
    return question.replicas if turned else replicas


def _assumed(names: Iterable[str], value: Callable[[str], int], now: datetime) -> Samples:
    return {name: Sample(value(name), now, 0.0) for name in names}
