"""What each metric of a HorizontalPodAutoscaler says: a count of replicas, or why there is none.

Source: pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetric).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from lab.kube.objects import KubeObject
from lab.kube.quantity import format_quantity, parse_quantity
from lab.localkube.controllers.autoscaler_replicas import (
    MetricError,
    Question,
    UsageOf,
    for_average,
    for_utilization,
)

NO_CUSTOM = (
    "unable to fetch metrics from custom metrics API: "
    "no custom metrics API (custom.metrics.k8s.io) registered"
)
NO_TARGET = (
    "invalid resource metric source: neither an average utilization target "
    "nor an average value (usage) target was set"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A metric that gave nothing: the reason and message of its event, and how the whole is summed up."""

    reason: str
    message: str
    summary: str


@dataclass(slots=True)
class Findings:
    """All metrics together. replicas: the highest count; metric: the one that gave it, empty if none did."""

    replicas: int = 0
    metric: str = ""
    statuses: list[KubeObject] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def unusable(self, current: int) -> bool:
        """Must nothing be done? One metric that failed is enough to keep from scaling down."""
        return not self.metric or (bool(self.failures) and self.replicas < current)

    def problem(self, metrics: int) -> str:
        """The failures in one sentence; `metrics` is how many there were to look at."""
        first = self.failures[0].summary
        return f"invalid metrics ({len(self.failures)} invalid out of {metrics}), first error is: {first}"


def evaluate(
    metrics: Sequence[KubeObject], question: Question, usage_of: UsageOf, namespace: str
) -> Findings:
    """Ask every metric. question: the pods and the present count; its resource is each metric's."""
    found = Findings()
    for metric in metrics:
        try:
            replicas, name, status = _ask(metric, question, usage_of, namespace)
        except MetricError as error:
            found.failures.append(_failure(metric, str(error)))
            found.statuses.append({"type": ""})
            continue
        found.statuses.append(status)
        if not found.replicas or replicas > found.replicas:
            found.replicas, found.metric = replicas, name
    return found


def _ask(
    metric: KubeObject, question: Question, usage_of: UsageOf, namespace: str
) -> tuple[int, str, KubeObject]:
    kind = metric["type"]
    if kind == "Resource":
        return _resource(kind, metric["resource"], question, usage_of)
    if kind == "ContainerResource":
        return _resource(kind, metric["containerResource"], question, usage_of)
    raise MetricError(_without_adapter(metric, namespace))


def _resource(
    kind: str, source: KubeObject, question: Question, usage_of: UsageOf
) -> tuple[int, str, KubeObject]:
    resource, target = source["name"], source["target"]
    asked = replace(question, resource=resource, container=source.get("container", ""))
    middle = "container resource" if kind == "ContainerResource" else "resource"
    if target.get("averageValue") is not None:
        wanted = int(parse_quantity(target["averageValue"]) * 1000)
        try:
            proposal = for_average(asked, usage_of, wanted)
        except MetricError as error:
            raise MetricError(f"failed to get {resource} usage: {_unmeasured(resource, error)}") from error
        name = f"{resource} resource"
    elif target.get("averageUtilization") is not None:
        try:
            proposal = for_utilization(asked, usage_of, target["averageUtilization"])
        except MetricError as error:
            why = _unmeasured(resource, error)
            raise MetricError(f"failed to get {resource} utilization: {why}") from error
        name = f"{resource} {middle} utilization (percentage of request)"
    else:
        raise MetricError(NO_TARGET)
    current: KubeObject = {"averageValue": _quantity(proposal.average)}
    if proposal.utilization is not None:
        current["averageUtilization"] = proposal.utilization
    status = {key: source[key] for key in ("name", "container") if key in source} | {"current": current}
    field_name = "containerResource" if kind == "ContainerResource" else "resource"
    return proposal.replicas, name, {"type": kind, field_name: status}


def _unmeasured(resource: str, error: MetricError) -> str:
    """An error of fetching metrics says so; one of working with them stands alone."""
    text = str(error)
    fetched = text.startswith(("no metrics returned from", "container "))
    return f"unable to get metrics for resource {resource}: {text}" if fetched else text


def _quantity(thousandths: int) -> str:
    return format_quantity(f"{Decimal(thousandths) / 1000:f}")


def _without_adapter(metric: KubeObject, namespace: str) -> str:
    """What upstream says of metrics that an adapter would serve, when there is none."""
    kind = metric["type"]
    if kind == "Pods":
        return f"unable to get metric {metric['pods']['metric']['name']}: {NO_CUSTOM}"
    if kind == "Object":
        described = metric["object"]["describedObject"]
        name = metric["object"]["metric"]["name"]
        about = f"{described['kind']} on {namespace} {described['name']}"
        return f"unable to get metric {name}: {about}/{NO_CUSTOM}"
    source = metric["external"]
    name = source["metric"]["name"]
    selector = _selector(source["metric"].get("selector"))
    missing = (
        "unable to fetch metrics from external metrics API: "
        f"the server could not find the requested resource (get {name}.external.metrics.k8s.io)"
    )
    return f"unable to get external metric {namespace}/{name}/{selector}: {missing}"


def _selector(selector: KubeObject | None) -> str:
    """A LabelSelector as Go prints it."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{each['key']},Operator:{each['operator']},"
        f"Values:[{' '.join(each.get('values') or ())}],}},"
        for each in selector.get("matchExpressions") or ()
    )
    shown = "[]LabelSelectorRequirement{" + expressions + "}"
    return "&LabelSelector{MatchLabels:map[string]string{" + labels + "},MatchExpressions:" + shown + ",}"


def _failure(metric: KubeObject, message: str) -> Failure:
    kind = metric["type"]
    if kind == "Resource":
        head = f"failed to get {metric['resource']['name']} resource metric value"
    elif kind == "ContainerResource":
        head = f"failed to get {metric['containerResource']['container']} container metric value"
    elif kind == "Pods":
        head = "failed to get pods metric value"
    else:
        head = _adapted_head(kind, metric["object" if kind == "Object" else "external"])
    return Failure(f"FailedGet{kind}Metric", message, f"{head}: {message}")


def _adapted_head(kind: str, source: KubeObject) -> str:
    """How upstream begins the summary for a metric of an object or from outside: it depends on the target."""
    name, per_pod = source["metric"]["name"], source["target"].get("averageValue") is not None
    if kind == "Object":
        head = "failed to get object metric value"
        return f"{head}: failed to get {name} object metric" if per_pod else head
    inner = f"failed to get {name} external metric" if per_pod else f"failed to get external metric {name}"
    return f"failed to get {name} external metric value: {inner}"
