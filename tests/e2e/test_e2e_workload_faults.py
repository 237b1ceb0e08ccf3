"""Faults of objects, memory and the automation in a whole lab: what customers and Kubernetes see of them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import requests
from e2e_bench import Bench, until
from kubernetes import client, config

pytestmark = pytest.mark.slow
IDLE = """\
import time
while True:
    time.sleep(1)
"""
REMEMBERS = """\
import pathlib, time
state = pathlib.Path.home() / "state"
print("remembers", "something" if state.exists() else "nothing", flush=True)
state.touch()
while True:
    time.sleep(1)
"""


class Shop:
    """What a person sees of a running lab."""

    def __init__(self, bench: Bench) -> None:
        variables = bench.lab("env", "--json").data
        self._bench, self._prometheus = bench, variables["PROMETHEUS_URL"]
        self.kubeconfig = variables["KUBECONFIG"]
        self.core = client.CoreV1Api(config.new_client_from_config(self.kubeconfig))

    def orders(self, code: str) -> float:
        """Orders that customers sent within the last seconds and that were answered so."""
        return self.value(f'sum(increase(shop_load_requests_total{{code="{code}"}}[3s]))')

    def value(self, query: str) -> float:
        """What Prometheus makes of it now; 0 when that is nothing."""
        address = f"{self._prometheus}/api/v1/query"
        result = requests.get(address, params={"query": query}, timeout=30).json()["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def waited(self) -> float:
        """Seconds that customers waited within the last 5, on average."""
        name = "shop_order_confirmation_seconds"
        return self.value(f"increase({name}_sum[5s]) / increase({name}_count[5s])")

    def pods(self, app: str) -> list[Any]:
        namespace = "automation" if app == "automation" else "shop"
        return list(self.core.list_namespaced_pod(namespace, label_selector=f"app={app}").items)

    def kubectl(self, *words: str) -> None:
        command = ["kubectl", "--kubeconfig", self.kubeconfig, *words]
        subprocess.run(command, check=True, capture_output=True, timeout=30)

    def does(self, *arguments: str) -> None:
        ran = self._bench.lab(*arguments)
        assert ran.code == 0, ran.err

    def undone_by(self, fault: str) -> str:
        """How the newest entry of that fault ended; empty while it is open."""
        document = self.core.read_namespaced_config_map("fault-journal", "lab-system").data["journal.json"]
        entries = [entry for entry in json.loads(document)["entries"] if entry["fault"] == fault]
        return str(entries[-1]["undoneBy"] or "")


@pytest.fixture(scope="module")
def shop(bench: Bench) -> Shop:
    up = bench.lab("up", "--toil", "off")
    assert up.code == 0, up.err
    return Shop(bench)


def test_a_bad_release_fails_customers_until_it_is_rolled_back(shop: Shop) -> None:
    until(lambda: shop.orders("201") > 10)
    shop.does("break", "bad-release", "--set", "share=0.5")
    until(lambda: shop.orders("500") > 3)
    shop.kubectl("-n", "shop", "rollout", "undo", "deployment/api")
    until(lambda: shop.undone_by("bad-release") == "repair")
    until(lambda: shop.orders("500") == 0 and shop.orders("201") > 10)


def test_a_leak_ends_in_the_limit_and_a_crash_loop_in_nobody_there(shop: Shop) -> None:
    def killed_for_memory() -> bool:
        states = [pod.status.container_statuses[0].last_state.terminated for pod in shop.pods("worker")]
        return any(state is not None and state.reason == "OOMKilled" for state in states)

    def loops() -> bool:
        waiting = [pod.status.container_statuses[0].state.waiting for pod in shop.pods("payments")]
        return any(state is not None and state.reason == "CrashLoopBackOff" for state in waiting)

    shop.does("break", "memory-leak", "--on", "2", "--set", "megabytesPerLabMinute=100")
    shop.does("break", "crash-loop", "--on", "payments")
    until(loops)
    until(lambda: shop.orders("502") > 10)
    until(killed_for_memory)
    shop.does("heal")
    until(lambda: shop.orders("502") == 0 and shop.orders("201") > 10)


def test_a_noisy_neighbour_makes_customers_wait_until_it_is_gone(shop: Shop) -> None:
    until(lambda: shop.orders("201") > 10 and shop.value("count_over_time(shop_orders_total[8s])") > 6)
    until(lambda: 0 < shop.waited() < 0.5)  # what the test before has left is worked off
    before = shop.waited()
    shop.does("break", "noisy-neighbour", "--set", "processesPerProcessor=24", "--for", "20s")
    waits = [before]

    def hurts() -> bool:
        waits.append(shop.waited())
        return waits[-1] > 1.5 * before

    until(hurts)
    until(lambda: shop.value("max(max_over_time(shop_analytics_cpu_seconds_total[1m]))") > 2)
    until(lambda: shop.undone_by("noisy-neighbour") == "lease")
    until(lambda: shop.pods("analytics") == [])
    until(lambda: 0 < shop.waited() < (before + waits[-1]) / 2)


def test_a_drain_goes_as_far_as_the_budget_and_ends(shop: Shop) -> None:
    def ready() -> int:
        return sum(pod.status.container_statuses is not None for pod in shop.pods("worker"))

    shop.does("break", "node-drain", "--for", "60s")
    until(lambda: ready() == 6)
    until(lambda: not any(pod.spec.node_name for pod in shop.pods("db")))
    assert shop.pods("load")[0].spec.node_name
    shop.does("heal", "node-drain")
    until(lambda: shop.orders("201") > 10)
    assert len(shop.pods("worker")) == 8


def test_the_automation_is_killed_paused_and_doubled(shop: Shop, bench: Bench) -> None:
    shop.does("run", bench.candidate("idle", IDLE), "--mode", "shadow")
    until(lambda: len(shop.pods("automation")) == 1)
    until(lambda: shop.pods("automation")[0].status.phase == "Running")
    name = shop.pods("automation")[0].metadata.name
    shop.does("break", "automation-killed", "--on", "now")
    until(lambda: shop.undone_by("automation-killed") == "itself")
    until(lambda: "ended by signal 9" in shop.core.read_namespaced_pod_log(name, "automation"))
    shop.does("break", "automation-paused", "--for", "2s")
    until(lambda: shop.undone_by("automation-paused") == "lease")
    shop.does("break", "automation-twice")
    until(lambda: len(shop.pods("automation")) == 2)
    shop.does("heal")
    until(lambda: len(shop.pods("automation")) == 1)


def evicted(shop: Shop, app: str) -> list[Any]:
    return [pod for pod in shop.pods(app) if pod.status.reason == "Evicted"]


def running(shop: Shop, app: str) -> list[str]:
    return [pod.metadata.name for pod in shop.pods(app) if pod.status.phase == "Running"]


def test_full_disks_evict_workers_and_their_replacements_while_it_recurs(shop: Shop) -> None:
    shop.does("break", "disk-full", "--on", "2", "--set", "megabytesPerLabMinute=20")
    until(lambda: shop.undone_by("disk-full") == "restart")
    [pod] = evicted(shop, "worker")
    assert pod.status.message == 'Usage of EmptyDir volume "disk" exceeds the limit "16Mi". '
    until(lambda: len(running(shop, "worker")) == 8)
    fast = ("--set", "megabytesPerLabMinute=50", "--set", "recurring=true")
    shop.does("break", "disk-full", "--set", "count=6", *fast, "--for", "90s")
    until(lambda: len(evicted(shop, "worker")) > 7)  # a second pod of one of the partitions, at least
    until(lambda: shop.orders("202") > 3)
    shop.does("heal", "disk-full")
    until(lambda: shop.orders("202") == 0 and shop.orders("201") > 10)
    until(lambda: len(running(shop, "worker")) == 8)


def test_the_automation_is_evicted_for_its_disk_and_starts_without_its_files(
    shop: Shop, bench: Bench
) -> None:
    shop.does("run", bench.candidate("forgetful", REMEMBERS), "--mode", "shadow")
    until(lambda: running(shop, "automation"))
    [first] = running(shop, "automation")
    shop.does("break", "automation-disk-full")
    until(lambda: shop.undone_by("automation-disk-full") == "restart")
    [pod] = evicted(shop, "automation")
    assert pod.metadata.name == first
    assert pod.status.message == 'Usage of EmptyDir volume "scratch" exceeds the limit "128Mi". '
    until(lambda: running(shop, "automation"))
    [second] = running(shop, "automation")

    def said() -> str:
        return str(shop.core.read_namespaced_pod_log(second, "automation"))

    until(lambda: "remembers " in said())
    assert "remembers nothing" in said()
    shop.does("run", bench.candidate("next", IDLE), "--mode", "shadow")
    until(lambda: running(shop, "automation") and running(shop, "automation") != [second])
