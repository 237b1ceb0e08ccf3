"""The rules before the real promtool: syntax at several time scales, and what fires when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from promtool import run_promtool
from slo_harness import check_rules, write_configuration

from lab.core.clock import TimeScale

SCALE = TimeScale(60.0)
BUCKET = 'shop_order_confirmation_seconds_bucket{le="1.0"}'
COUNT = "shop_order_confirmation_seconds_count"


@pytest.mark.parametrize("hour_seconds", [3, 60, 600, 3600])
def test_configuration_and_rules_are_valid(tmp_path: Path, hour_seconds: float) -> None:
    path = write_configuration(tmp_path, TimeScale(hour_seconds))
    done = run_promtool("check", "config", path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS: 19 rules found" in done.stdout


def at(seconds: int, name: str, *alerts: dict[str, str]) -> dict[str, Any]:
    """What fires then, by the ALERTS series: an alert test would compare every annotation as well."""
    labels = [", ".join(f'{k}="{v}"' for k, v in sorted(alert.items())) for alert in alerts]
    samples = [
        {"labels": f'ALERTS{{alertname="{name}", alertstate="firing", {text}}}', "value": 1}
        for text in labels
    ]
    return {
        "expr": f'ALERTS{{alertname="{name}", alertstate="firing"}}',
        "eval_time": f"{seconds}s",
        "exp_samples": samples,
    }


def burn(short: str, long: str, severity: str) -> dict[str, str]:
    return {"short": short, "long": long, "severity": severity, "slo": "order-confirmations"}


FAST = burn("5m", "1h", "critical")
MEDIUM = burn("30m", "6h", "critical")
SLOW = burn("2h", "1d", "warning")
SLOWEST = burn("6h", "3d", "warning")


def orders(good: str, total: str) -> list[dict[str, str]]:
    return [{"series": BUCKET, "values": good}, {"series": COUNT, "values": total}]


def test_a_hung_partition_burns_fast_and_the_alert_ends_soon_after(tmp_path: Path) -> None:
    # Two minutes of health, then two of eight partitions hang for a minute, then health again. The tickets
    # have to hold for half their short window, so they come later, and stay longer.
    good, total = "0+16x120 1936+12x60 2656+16x60", "0+16x241"
    check_rules(
        tmp_path,
        SCALE,
        [
            {
                "interval": "1s",
                "input_series": orders(good, total),
                "promql_expr_test": [
                    at(119, "ErrorBudgetBurn"),
                    at(175, "ErrorBudgetBurn", FAST, MEDIUM),
                    at(195, "ErrorBudgetBurn", MEDIUM, SLOW),
                ],
            }
        ],
    )


def test_a_short_blip_after_a_quiet_hour_pages_nobody(tmp_path: Path) -> None:
    good, total = "0+16x400 6412+12x5 6476+16x60", "0+16x470"
    quiet = [at(second, "ErrorBudgetBurn") for second in (399, 404, 407, 412, 430, 460)]
    check_rules(
        tmp_path,
        SCALE,
        [{"interval": "1s", "input_series": orders(good, total), "promql_expr_test": quiet}],
    )


def test_a_steady_trickle_of_errors_is_a_ticket_not_a_page(tmp_path: Path) -> None:
    # Two of a hundred are bad: four times the budget, so neither 14.4 nor 6.
    good, total = "0+98x900", "0+100x900"
    check_rules(
        tmp_path,
        SCALE,
        [
            {
                "interval": "1s",
                "input_series": orders(good, total),
                "promql_expr_test": [at(880, "ErrorBudgetBurn", SLOW, SLOWEST)],
            }
        ],
    )


def test_no_traffic_is_no_burn(tmp_path: Path) -> None:
    good, total = "100x300", "100x300"
    check_rules(
        tmp_path,
        SCALE,
        [
            {
                "interval": "1s",
                "input_series": orders(good, total),
                "promql_expr_test": [
                    at(250, "ErrorBudgetBurn"),
                    {"expr": "slo:sli_error:ratio_rate1h", "eval_time": "250s", "exp_samples": []},
                ],
            }
        ],
    )


def test_only_the_partition_that_waits_pages(tmp_path: Path) -> None:
    # Partition 3 waits and recovers, 4 stays below the limit, 5 has one bad sample, 6 misses two scrapes.
    name = "shop_queue_oldest_order_age_seconds"

    def page(partition: str) -> dict[str, str]:
        return {"partition": partition, "severity": "critical"}

    check_rules(
        tmp_path,
        SCALE,
        [
            {
                "interval": "1s",
                "input_series": [
                    {"series": f'{name}{{partition="3",pod="api-1"}}', "values": "0x10 0+1x20 0x10"},
                    {"series": f'{name}{{partition="4",pod="api-1"}}', "values": "2.9x50"},
                    {"series": f'{name}{{partition="6",pod="api-1"}}', "values": "0x5 9x10 stale stale 9x30"},
                    {"series": f'{name}{{partition="5",pod="api-1"}}', "values": "0x20 9 0x30"},
                ],
                "promql_expr_test": [
                    at(5, "OrdersWaitingTooLong"),
                    at(14, "OrdersWaitingTooLong", page("6")),
                    *(at(second, "OrdersWaitingTooLong", page("3"), page("6")) for second in range(17, 22)),
                    at(34, "OrdersWaitingTooLong", page("6")),
                ],
            }
        ],
    )


def test_customers_without_an_answer_page_and_refused_ones_do_not(tmp_path: Path) -> None:
    def answered(code: str, values: str) -> dict[str, str]:
        return {"series": f'shop_load_requests_total{{code="{code}",pod="load-1"}}', "values": values}

    check_rules(
        tmp_path,
        SCALE,
        [
            {
                "interval": "1s",
                "input_series": [
                    answered("201", "0+16x20 320x20 320+16x20"),
                    answered("502", "0x20 0+0x20 0x20"),
                    answered("error", "0x20 0+16x20 336x20"),
                ],
                "promql_expr_test": [
                    at(15, "ShopNotAnswering"),
                    at(30, "ShopNotAnswering", {"severity": "critical"}),
                    at(50, "ShopNotAnswering"),
                ],
            },
            {
                "interval": "1s",
                "input_series": [answered("502", "0+16x40"), answered("201", "0x40")],
                "promql_expr_test": [at(30, "ShopNotAnswering")],
            },
        ],
    )


def test_a_failing_automation_pages_and_an_idle_one_does_not(tmp_path: Path) -> None:
    series = 'toil_auto_success_rate{app="automation",pod="automation-1"}'
    page = {"app": "automation", "severity": "critical"}
    check_rules(
        tmp_path,
        SCALE,
        [
            {
                "interval": "1s",
                "input_series": [{"series": series, "values": "_x10 1x10 0.9x10 0.95x10"}],
                "promql_expr_test": [
                    at(8, "ToilAutomationSuccessRateLow"),
                    at(18, "ToilAutomationSuccessRateLow"),
                    at(29, "ToilAutomationSuccessRateLow", page),
                    at(38, "ToilAutomationSuccessRateLow"),
                ],
            }
        ],
    )


def test_the_heartbeat_never_stops(tmp_path: Path) -> None:
    expected = [at(second, "Watchdog", {"severity": "none"}) for second in (1, 30, 60)]
    check_rules(tmp_path, SCALE, [{"interval": "1s", "input_series": [], "promql_expr_test": expected}])
