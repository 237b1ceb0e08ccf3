"""A real Alertmanager in a whole lab: alerts page through it, once, and end."""

from __future__ import annotations

import pytest
import requests
from e2e_bench import Bench, until

from lab.localkube.images.alertmanager import find_alertmanager
from lab.localkube.images.launch import StartError

pytestmark = pytest.mark.contract


def test_alerts_page_through_an_alertmanager(bench: Bench) -> None:
    try:
        find_alertmanager()
    except StartError as error:
        pytest.skip(str(error))
    up = bench.lab("up", "--toil", "off", "--starts", "cheap", "--with", "alertmanager")
    assert up.code == 0, up.err
    variables = bench.lab("env", "--json").data
    receivers = f"{variables['PROMETHEUS_URL']}/api/v1/alertmanagers"
    (active,) = until(lambda: requests.get(receivers, timeout=5).json()["data"]["activeAlertmanagers"])
    assert active["url"].endswith(":9093/api/v2/alerts")

    def incidents() -> list[dict[str, str]]:
        answer = requests.get(f"{variables['PAGER_URL']}/api/v1/incidents?status=all", timeout=5)
        found = answer.json()["incidents"]
        return [incident for incident in found if incident["alertname"] == "OrdersWaitingTooLong"]

    assert bench.lab("break", "hung-workers").code == 0
    until(incidents, 90)
    until(lambda: any(incident["resolvedBy"] == "alert" for incident in incidents()), 90)
