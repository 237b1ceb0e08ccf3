"""The thundering herd: what a start costs the database, and what many at once do to customers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from kubernetes import client, config
from prometheus_client import CollectorRegistry
from shop_pods import Pods, until

from lab.core.fault_plan import Plan
from lab.core.staffing import CHEAP
from lab.engine import bringup
from lab.engine.clients import wait_until
from lab.engine.lab import Lab
from lab.engine.settings import LabSettings
from lab.faults.registry import SPECS
from lab.providers.prometheus import installed_prometheus
from lab.shop.cache import PriceCache
from lab.shop.condition import Directive, WorkerCondition
from lab.shop.database import connect
from lab.shop.warming import Warming
from lab.slo.objectives import ORDER_CONFIRMATIONS
from lab.slo.windows import BURN_WINDOWS

PLAN = Path(__file__).resolve().parents[2] / "clusters" / "plans" / "thundering-herd.yaml"
LATER = "UPDATE shop.products SET snapshot_at = '-infinity'"
"""Makes opening prices out of date."""


def warm(url: str, number: int) -> int:
    """Fill a cache; how many attempts that took."""
    warming, attempts = Warming(PriceCache(), CollectorRegistry(), random.Random(number)), 1
    with connect(url, f"worker-{number}") as database:
        while not warming.warm_up(database):
            attempts += 1
    assert warming.cache.warm
    return attempts


async def test_warm_ups_that_overlap_are_done_again_and_those_in_turn_are_not(database_url: str) -> None:
    with connect(database_url, "test") as database:
        database.execute(LATER)
    assert [warm(database_url, number) for number in range(3)] == [1, 1, 1]
    together = await asyncio.gather(*(asyncio.to_thread(warm, database_url, n) for n in range(4)))
    assert sum(together) >= 7  # 10 when none begins after another has ended
    with connect(database_url, "test") as database:
        assert database.execute("SELECT taken FROM shop.price_list").fetchone() == (7,)


async def test_prices_are_those_of_the_opening_and_later_follow_the_changes(
    database_url: str,
) -> None:
    cache = PriceCache()
    warming = Warming(cache, CollectorRegistry(), random.Random(1))
    with connect(database_url, "test") as database:
        database.execute("UPDATE shop.products SET snapshot_at = clock_timestamp()")
        assert warming.warm_up(database)
        assert database.execute("SELECT taken FROM shop.price_list").fetchone() == (0,)
        [(product,)] = database.execute(
            "SELECT product FROM shop.products WHERE opening_cents <= 9000"
            " ORDER BY opening_cents DESC LIMIT 1"
        ).fetchall()
        assert cache.product(9000) == product
        database.execute(LATER)
        database.execute("UPDATE shop.price_changes SET factor = 1")
        database.execute("UPDATE shop.price_changes SET factor = 2 WHERE number = 80")
        assert warming.warm_up(database)
        assert cache.product(18_000) == product
        cheap = Warming(PriceCache(), CollectorRegistry(), random.Random(1), CHEAP)
        assert cheap.warm_up(database)
        assert cheap.cache.product(9000) == product  # opening prices, however old
    cache.drop()
    assert (cache.warm, cache.product(9000)) == (False, None)


async def test_cold_caches_are_filled_again_while_the_pod_stays_ready(pods: Pods, faults_api: Any) -> None:
    worker = await pods.start("lab.shop.worker", "worker-a")

    async def ready() -> bool:
        return await pods.status(worker, "/readyz") == 200

    async def done() -> float:
        return await pods.metric(worker, "shop_worker_warmups_total", result="done") or 0.0

    async def holds() -> bool:
        return await pods.metric(worker, "shop_worker_partition_info", partition="0") == 1

    await until(ready, "the worker is ready")
    await until(holds, "it holds a partition")
    before = await done()
    faults = await faults_api()
    [entry] = await faults.inject("cold-cache", parameters={"partition": 0})

    async def again() -> bool:
        assert await ready()
        return await done() > before

    await until(again, "the cache is filled again")
    assert await done() == before + 1  # once for each entry, however often the directive is read
    await until(lambda: faults.state(entry["id"], "undone"), "the journal notices")
    assert (await faults.entry(entry["id"]))["undoneBy"] == "itself"
    assert await pods.metric(worker, "shop_worker_cache_warm") == 1


@pytest.mark.slow
async def test_a_cold_cache_that_is_healed_is_given_back(
    pods: Pods, faults_api: Any, database_url: str
) -> None:
    worker = await pods.start("lab.shop.worker", "worker-a")

    async def warm() -> bool:
        return await pods.metric(worker, "shop_worker_cache_warm") == 1

    async def cold() -> bool:
        return not await warm()

    await until(warm, "the worker has a price list")
    faults = await faults_api()
    with connect(database_url, "test") as database:
        database.execute(LATER)
        database.execute("ALTER TABLE shop.price_changes RENAME TO price_changes_elsewhere")
    [entry] = await faults.inject("cold-cache", parameters={"partition": 0})
    await until(cold, "it has lost it, and cannot fill another one")
    await faults.call("DELETE", f"faults/{entry['id']}")
    await until(warm, "it has it again")


def test_a_consumer_that_is_busy_hears_later_that_its_cache_is_given_back() -> None:
    condition, asked = WorkerCondition(), [Directive("cold-cache-0001", "cold-cache", {})]
    condition.follow(asked)
    assert (condition.take_cold(), condition.take_cold()) == (True, False)
    condition.follow(asked)
    assert not condition.take_thawed()
    condition.follow([])
    condition.follow([])
    assert (condition.take_thawed(), condition.take_thawed()) == (True, False)


def test_the_plan_that_is_shipped_is_one() -> None:
    plan = Plan.from_dict(yaml.safe_load(PLAN.read_text()), SPECS)
    assert {step.fault for step in plan.steps} == {"scrape-lag", "duplicate-notifications", "thundering-herd"}


WORKERS = 40
SHARE = 0.4
AT_A_TIME = 4
FAST_BURN = BURN_WINDOWS[0].factor * ORDER_CONFIRMATIONS.budget
PATIENCE = 100.0


@dataclass(frozen=True)
class Cure:
    """What a way of restarting has cost. bad: orders late or failed, of all from the blip on, until a lab
    hour has passed and all is well. conflicts: warm-ups done for nothing. busy: most clients
    whose statement is under way or waits."""

    bad: float
    orders: float
    conflicts: float
    busy: float

    @property
    def ratio(self) -> float:
        return self.bad / self.orders


class Herd:
    """A lab of forty workers, some of which hang at once."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.core = client.CoreV1Api(config.new_client_from_config(str(lab.kubeconfig)))

    def value(self, query: str) -> float:
        answer = requests.get(f"{self.lab.prometheus_url}/api/v1/query", {"query": query}, timeout=20).json()
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def hang(self) -> list[str]:
        """The victims, once they hang."""
        entries = self.lab.faults.inject("thundering-herd", None, {"share": SHARE})
        ages = "sum(shop_queue_oldest_order_age_seconds > bool 0.5)"
        assert wait_until(lambda: self.value(ages) >= len(entries) / 4, seconds=PATIENCE)
        return [entry["target"]["name"] for entry in entries]

    def restart(self, pods: list[str]) -> None:
        for pod in pods:
            self.core.delete_namespaced_pod(pod, "shop", grace_period_seconds=1)

    def healthy(self) -> bool:
        workers = self.core.list_namespaced_pod("shop", label_selector="app=worker").items
        ready = [w for w in workers if not w.metadata.deletion_timestamp and _ready(w)]
        return len(ready) == WORKERS

    def cured(self, by: Callable[[list[str]], None]) -> Cure:
        """Hang, restart, and wait until orders are confirmed again and the lab hour of the blip is over."""
        names = f"{ORDER_CONFIRMATIONS.total}", f"{ORDER_CONFIRMATIONS.good}"
        began, total, good = self.value("vector(time())"), *(self.value(f"sum({name})") for name in names)
        by(self.hang())
        assert wait_until(self.healthy, seconds=PATIENCE)
        oldest = "max(shop_queue_oldest_order_age_seconds)"
        assert wait_until(
            lambda: self.value(oldest) < 1.0 and self.value("vector(time())") >= began + 60, seconds=PATIENCE
        )
        seconds = round(self.value("vector(time())") - began)
        orders, fine = self.value(f"sum({names[0]})") - total, self.value(f"sum({names[1]})") - good
        conflicts = f'sum(max_over_time(shop_worker_warmups_total{{result="conflict"}}[{seconds}s]))'
        busy = f'max_over_time(sum(shop_database_sessions{{state!="idle"}})[{seconds}s:1s])'
        return Cure(orders - fine, orders, self.value(conflicts), self.value(busy))


def _ready(pod: Any) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())


@pytest.fixture
def herd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Herd]]:
    """Opens a fresh lab, in place of the one before, and waits until opening prices are out of date."""
    if installed_prometheus() is None:
        pytest.skip("there is no Prometheus: lab setup fetches it")
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    open_: list[Lab] = []

    def close() -> None:
        while open_:
            open_.pop().down()

    def fresh() -> Herd:
        close()
        settings = LabSettings("herd", seed=7, toil="off", workers=WORKERS)
        open_.append(bringup.bring_up(settings, throw_away=True))
        made = Herd(open_[0])
        apps = client.AppsV1Api(made.core.api_client)  # nobody else is to restart anything
        apps.patch_namespaced_deployment_scale("oncall", "lab-system", {"spec": {"replicas": 0}})
        seen = 'min(count_over_time(shop_queue_orders{partition="0"}[40s]))'
        assert wait_until(lambda: made.value(seen) >= 25, seconds=PATIENCE)
        return made

    yield fresh
    close()


@pytest.mark.slow
def test_restarting_all_at_once_hurts_customers_more_than_the_hang_and_a_few_at_a_time_does_not(
    herd: Callable[[], Herd],
) -> None:
    lab = herd()

    def in_turn(pods: list[str]) -> None:
        for place in range(0, len(pods), AT_A_TIME):
            lab.restart(pods[place : place + AT_A_TIME])
            assert wait_until(lab.healthy, seconds=PATIENCE)

    bounded = lab.cured(in_turn)
    lab = herd()
    at_once = lab.cured(lab.restart)
    print(f"\nat once {at_once} {at_once.ratio:.1%}\nbounded {bounded} {bounded.ratio:.1%}")
    assert at_once.ratio > FAST_BURN
    assert at_once.bad > 1.5 * bounded.bad
    assert at_once.conflicts > 3 * bounded.conflicts
    assert at_once.busy > 2 * bounded.busy
