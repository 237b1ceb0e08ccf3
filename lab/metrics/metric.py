"""What a metric is, and how a declaration becomes an object of the Prometheus client."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]


class Kind(StrEnum):
    """The Prometheus type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, declared.

    name: as it is scraped (a counter's ends in `_total`). meaning: the help text. labels: in order. unit: of
    the value, in words (`1` for a plain number). exporter: the workload that exports it. buckets: a
    histogram's upper bounds, in `unit`.
    """

    name: str
    kind: Kind
    meaning: str
    exporter: str
    labels: tuple[str, ...] = ()
    unit: str = "1"
    buckets: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind is Kind.COUNTER) != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: a counter, and nothing else, ends in _total")
        if (self.kind is Kind.HISTOGRAM) != bool(self.buckets):
            raise ValueError(f"{self.name}: a histogram, and nothing else, has buckets")


def _expect(metric: Metric, kind: Kind) -> None:
    if metric.kind is not kind:
        raise TypeError(f"{metric.name} is a {metric.kind}, not a {kind}")


def counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    """The declared counter on a registry. Raises TypeError when it is declared as something else."""
    _expect(metric, Kind.COUNTER)
    return Counter(metric.name, metric.meaning, metric.labels, registry=registry)


def gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    """The declared gauge on a registry. Raises TypeError when it is declared as something else."""
    _expect(metric, Kind.GAUGE)
    return Gauge(metric.name, metric.meaning, metric.labels, registry=registry)


def histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    """The declared histogram on a registry. Raises TypeError when it is declared as something else."""
    _expect(metric, Kind.HISTOGRAM)
    return Histogram(metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets)
