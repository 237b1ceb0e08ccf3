"""Declarations and the objects made from them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from lab.metrics import catalogue
from lab.metrics.metric import Kind, Metric, counter, gauge, histogram


def test_every_name_is_declared_once_and_every_meaning_said() -> None:
    names = [metric.name for metric in catalogue.ALL]
    assert len(names) == len(set(names)) > 20
    assert all(metric.meaning.endswith(".") for metric in catalogue.ALL)


def test_every_declaration_is_scraped_under_its_name() -> None:
    makers = {Kind.COUNTER: counter, Kind.GAUGE: gauge, Kind.HISTOGRAM: histogram}
    registry = CollectorRegistry()
    for metric in catalogue.ALL:
        made = makers[metric.kind](metric, registry)
        if metric.labels:
            made.labels(*("x" for _ in metric.labels))
    text = generate_latest(registry).decode()
    for metric in catalogue.ALL:
        suffix = "_count" if metric.kind is Kind.HISTOGRAM else ""
        assert f"\n{metric.name}{suffix}" in text, metric.name
    assert "_created" not in text


def test_the_service_level_indicator_has_its_bucket() -> None:
    assert 1.0 in catalogue.ORDER_CONFIRMATION.buckets


def test_a_metric_is_not_made_as_another_type() -> None:
    with pytest.raises(TypeError, match="is a counter, not a gauge"):
        gauge(catalogue.ORDERS, CollectorRegistry())


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x", "kind": Kind.COUNTER},
        {"name": "x_total", "kind": Kind.GAUGE},
        {"name": "x", "kind": Kind.HISTOGRAM},
        {"name": "x", "kind": Kind.GAUGE, "buckets": (1.0,)},
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="and nothing else"):
        Metric(meaning="M.", exporter="e", **wrong)
