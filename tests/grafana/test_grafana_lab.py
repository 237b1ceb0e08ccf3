"""Every query of every dashboard before a whole lab's own Prometheus."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from e2e_bench import Bench, until
from kubernetes import client, config
from test_grafana_boards import in_seconds, queries

from lab.providers.prometheus import installed_prometheus

pytestmark = pytest.mark.slow

PROGRAM = """
import os, pathlib, time
from kubernetes import client, config

config.load_kube_config()
folder = pathlib.Path(os.environ["TEXTFILE_DIR"])
text = (
    "# TYPE toil_auto_success_rate gauge\\ntoil_auto_success_rate 1\\n"
    "# TYPE toil_remediations_total counter\\ntoil_remediations_total{result=\\"success\\"} 1\\n"
)
while True:
    (folder / "own.prom.tmp").write_text(text)
    (folder / "own.prom.tmp").rename(folder / "own.prom")
    try:
        client.CoreV1Api().delete_namespaced_pod("nobody", "shop")
    except client.ApiException:
        pass
    time.sleep(0.5)
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Labs of a folder of their own."""
    if installed_prometheus() is None:
        pytest.skip("there is no Prometheus: lab setup fetches it")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    made = Bench(tmp_path_factory.mktemp("grafana"))
    yield made
    made.lab("down", "--all")
    assert made.left() == []


def done(bench: Bench, *arguments: str) -> Any:
    ran = bench.lab(*arguments, "--json")
    assert ran.code == 0, ran.err
    return ran.data


class Unanswered:
    """Queries that have had no series yet."""

    def __init__(self, prometheus: str) -> None:
        self._url = f"{prometheus}/api/v1/query"
        self.left: dict[str, str] = {}

    def add(self, *, quiet: bool) -> None:
        """Ask for those, too, that a quiet lab answers, or that it does not."""
        for board, title, query in queries():
            if quiet == (not query.needs):
                self.left[in_seconds(query.expression)] = f"{board.name}: {title}"

    def all_answered(self) -> bool:
        """Whether each has had a series by now; Prometheus refuses none."""
        for expression in list(self.left):
            answer = requests.get(self._url, params={"query": expression}, timeout=10).json()
            assert answer["status"] == "success", (self.left[expression], answer)
            if answer["data"]["result"]:
                del self.left[expression]
        return not self.left

    def wait(self) -> None:
        try:
            until(self.all_answered, 90)
        except AssertionError:
            pytest.fail("no series: " + "; ".join(sorted(self.left.values())))


def test_every_query_has_a_series(bench: Bench) -> None:
    done(bench, "up", "--toil", "off", "--starts", "cheap", "--with", "logstore")
    variables = done(bench, "env")
    unanswered = Unanswered(variables["PROMETHEUS_URL"])
    unanswered.add(quiet=True)
    unanswered.wait()
    with config.new_client_from_config(variables["KUBECONFIG"]) as cluster:
        budgets = {"data": {"budgets": '{"actionsPerLabHour": 1000}'}}
        core, apps = client.CoreV1Api(cluster), client.AppsV1Api(cluster)
        core.patch_namespaced_config_map("automation-control", "lab-system", budgets)
        nobody = {"spec": {"replicas": 0}}
        apps.patch_namespaced_deployment_scale("oncall", "lab-system", nobody)
    done(bench, "run", bench.candidate("busy", PROGRAM), "--mode", "canary")
    needs = {query.needs for *_, query in queries()}
    for fault in sorted(need.removeprefix("fault ") for need in needs if need.startswith("fault ")):
        done(bench, "break", fault, "--for", "100s")
    unanswered.add(quiet=False)
    unanswered.wait()
