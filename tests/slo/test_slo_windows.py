"""Objectives and windows as values."""

from __future__ import annotations

import re

import pytest
import yaml

from lab.core.clock import TimeScale
from lab.metrics.catalogue import ALL
from lab.slo.burn import burn_groups, ratio_name
from lab.slo.objectives import OBJECTIVES, ORDER_CONFIRMATIONS, Objective
from lab.slo.prometheus import prometheus_config
from lab.slo.rules import rule_files
from lab.slo.windows import BURN_WINDOWS, SHORTEST_SECONDS, prometheus_duration, window_seconds


def test_the_factors_and_windows_are_the_standard_ones() -> None:
    assert [(w.factor, w.long_name, w.short_name, w.severity) for w in BURN_WINDOWS] == [
        (14.4, "1h", "5m", "critical"),
        (6, "6h", "30m", "critical"),
        (3, "1d", "2h", "warning"),
        (1, "3d", "6h", "warning"),
    ]


def test_each_pair_spends_the_share_of_the_budget_that_the_workbook_says() -> None:
    period = ORDER_CONFIRMATIONS.period_days * 24
    spent = [round(w.factor * w.long_hours / period, 3) for w in BURN_WINDOWS]
    assert spent == [0.02, 0.05, 0.1, 0.1]


@pytest.mark.parametrize(
    ("hour_seconds", "hours", "seconds"),
    [(60, 1, 60), (60, 5 / 60, 5), (60, 72, 4320), (3600, 1, 3600), (10, 5 / 60, SHORTEST_SECONDS)],
)
def test_windows_follow_the_time_scale_down_to_a_floor(
    hour_seconds: float, hours: float, seconds: float
) -> None:
    assert window_seconds(hours, TimeScale(hour_seconds)) == pytest.approx(seconds)


def test_durations_are_exact() -> None:
    assert [prometheus_duration(s) for s in (1, 2.5, 4320, 0.0004)] == ["1s", "2500ms", "4320s", "0s"]


@pytest.mark.parametrize("target", [0, 1, 1.5, -1])
def test_an_impossible_target_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Objective("x", target, "good", "total", "meaning")


def test_every_window_is_recorded_once() -> None:
    groups = burn_groups(ORDER_CONFIRMATIONS, TimeScale(60), "runbook")
    recorded = [rule["record"] for group in groups for rule in group["rules"] if "record" in rule]
    ratios = [name for name in recorded if name.startswith("slo:sli_error")]
    assert sorted(ratios) == sorted(
        {ratio_name(h) for w in BURN_WINDOWS for h in (w.short_hours, w.long_hours)}
    )


def test_rules_use_declared_metrics_only() -> None:
    declared = {metric.name for metric in ALL}
    (text,) = rule_files(TimeScale(60)).values()
    used = set(re.findall(r"\b(?:shop|toil)_[a-z_]+", text))
    bare = {re.sub(r"_(bucket|count|sum)$", "", name) for name in used}
    assert bare <= declared
    assert bare


def test_every_alert_explains_itself() -> None:
    (text,) = rule_files(TimeScale(60), runbooks="https://docs.test/runbooks").values()
    alerts = [r for g in yaml.safe_load(text)["groups"] for r in g["rules"] if "alert" in r]
    assert {alert["alert"] for alert in alerts} == {
        "OrdersWaitingTooLong",
        "ShopNotAnswering",
        "ErrorBudgetBurn",
        "ToilAutomationSuccessRateLow",
        "Watchdog",
    }
    for alert in alerts:
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        assert alert["annotations"]["runbook_url"] == f"https://docs.test/runbooks#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in ("critical", "warning", "none")
    assert len(OBJECTIVES) == 1


def test_addresses_replace_names_where_there_is_no_dns() -> None:
    named = prometheus_config(TimeScale(60))
    assert "pager.lab-system.svc:8080" in named
    assert "http://prometheus.lab-system.svc:9091/targets" in named
    addressed = prometheus_config(
        TimeScale(60), addresses={"lab-system/pager": "127.9.200.1", "lab-system/prometheus": "127.9.200.2"}
    )
    assert "127.9.200.1:8080" in addressed
    assert "http://127.9.200.2:9091/targets" in addressed
    assert ".svc" not in addressed
