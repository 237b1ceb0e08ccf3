"""A real Alertmanager in a whole lab: alerts page through it, once, and end."""

from __future__ import annotations

import pytest
from e2e_bench import Bench, answered, until

from lab.localkube.images.alertmanager import find_alertmanager
from lab.localkube.images.launch import StartError

pytestmark = pytest.mark.slow


def test_alerts_page_through_an_alertmanager(bench: Bench) -> None:
    try:
        find_alertmanager()
    except StartError as error:
        pytest.skip(str(error))
    bench.done("up", "--toil", "off", "--starts", "cheap", "--with", "alertmanager")
    variables = bench.done("env", "--json").data

    def receivers() -> list[dict[str, str]]:
        found = answered(f"{variables['PROMETHEUS_URL']}/api/v1/alertmanagers")
        return found["data"]["activeAlertmanagers"] if found else []

    (active,) = until(receivers)
    assert active["url"].endswith(":9093/api/v2/alerts")

    def incidents() -> list[dict[str, str]]:
        found = answered(f"{variables['PAGER_URL']}/api/v1/incidents", status="all") or {"incidents": []}
        return [
            incident for incident in found["incidents"] if incident["alertname"] == "OrdersWaitingTooLong"
        ]

    bench.done("break", "hung-workers")
    until(incidents, 90)
    until(lambda: any(incident["resolvedBy"] == "alert" for incident in incidents()), 90)
