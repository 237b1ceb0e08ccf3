"""Monitoring faults in a whole lab: from the command line to what Prometheus and the pager show."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from e2e_bench import Bench, until
from kubernetes import client, config

pytestmark = pytest.mark.slow
ORDERS = 'sum(shop_orders_total{app="api"})'


class Monitoring:
    """What an automation sees of a running lab."""

    def __init__(self, bench: Bench) -> None:
        variables = bench.lab("env", "--json").data
        self._prometheus, self._pager = variables["PROMETHEUS_URL"], variables["PAGER_URL"]
        self.kubeconfig = variables["KUBECONFIG"]

    def value(self, expression: str) -> float | None:
        answer = requests.get(f"{self._prometheus}/api/v1/query", params={"query": expression}, timeout=5)
        result = answer.json()["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def pager(self, path: str) -> Any:
        return requests.get(f"{self._pager}/api/v1/{path}", timeout=5).json()


@pytest.fixture(scope="module")
def lab(bench: Bench) -> Bench:
    up = bench.lab("up", "--toil", "off")
    assert up.code == 0, up.err
    return bench


def done(lab: Bench, *arguments: str) -> None:
    ran = lab.lab(*arguments)
    assert ran.code == 0, ran.err


def test_monitoring_faults_bite_and_end(lab: Bench) -> None:
    seen = Monitoring(lab)
    until(lambda: seen.value('up{app="payments"} == 1'))
    done(lab, "break", "scrape-gap", "--on", "payments", "--for", "60s")
    until(lambda: seen.value('up{app="payments"} == bool 0'))
    done(lab, "break", "alert-storm", "--set", "count=20", "--for", "60s")
    until(lambda: len(seen.pager("incidents?status=open")["incidents"]) >= 20)
    done(lab, "heal")
    until(lambda: seen.value('up{app="payments"} == 1'))
    until(lambda: len(seen.pager("incidents?status=open")["incidents"]) < 5)
    entries = seen.pager("history")["entries"]
    assert sum(entry["by"].startswith("fault:alert-storm") for entry in entries) == 20


def test_a_fault_ends_with_its_lease_though_nobody_is_left_to_undo_it(lab: Bench) -> None:
    seen = Monitoring(lab)
    until(lambda: seen.value(ORDERS))
    done(lab, "break", "missing-series", "--on", "shop_orders_*", "--for", "15s")
    with config.new_client_from_config(seen.kubeconfig) as cluster:
        scale = {"spec": {"replicas": 0}}
        client.AppsV1Api(cluster).patch_namespaced_deployment_scale("faults", "lab-system", scale)
    until(lambda: seen.value(f"absent({ORDERS})"), 15)
    until(lambda: seen.value(ORDERS))
