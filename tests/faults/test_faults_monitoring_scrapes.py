"""Faults of the scrapes, seen by a real Prometheus: the damage, and how it goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import aiohttp
import pytest
from monitoring_harness import CLOCK, POD_IP, OnePod, Query, exporter, prometheus, put, row, scrape_proxy
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from lab.core.fault_row import FaultRow
from lab.faults.board import Board
from lab.slo.scrape_faults import Answer, Scrape, ScrapeFaults
from lab.slo.scrape_text import split, stamp


@pytest.fixture(scope="module")
def prometheus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus(tmp_path_factory.mktemp("prometheus")) as url:
        yield url


@dataclass
class Monitored:
    """A pod with two series, scraped through the proxy."""

    board: Board
    query: Query
    age: Gauge
    orders: Counter


@pytest.fixture
async def monitored(prometheus_url: str) -> AsyncIterator[Monitored]:
    registry, board = CollectorRegistry(), Board("scrape", CLOCK)
    age = Gauge("shop_queue_oldest_order_age_seconds", "Age.", registry=registry)
    orders = Counter("shop_orders", "Orders.", registry=registry)
    async with exporter(registry), scrape_proxy(board), aiohttp.ClientSession() as session:
        made = Monitored(board, Query(prometheus_url, session), age, orders)
        await made.query.until("up == 1")
        yield made


AGE = "shop_queue_oldest_order_age_seconds"


async def test_without_a_fault_nothing_is_added_and_nothing_is_lost() -> None:
    registry = CollectorRegistry()
    Histogram("shop_order_confirmation_seconds", "Time.", registry=registry).observe(0.3)
    async with (
        exporter(registry) as url,
        scrape_proxy(Board("scrape", CLOCK)) as proxy,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        headers = {"Accept-Encoding": "gzip", "Accept": "application/openmetrics-text;version=1.0.0"}
        async with session.get(url, headers=headers) as answer:
            direct = answer.status, answer.content_type, answer.headers.get("Content-Encoding")
            body = await answer.read()
        async with session.get(url, headers=headers, proxy=proxy) as answer:
            assert (answer.status, answer.content_type, answer.headers.get("Content-Encoding")) == direct
            assert await answer.read() == body


async def test_a_gap_takes_the_series_away_until_its_lease_is_over(monitored: Monitored) -> None:
    monitored.age.set(3)
    await monitored.query.until(f"{AGE} == 3")
    put(monitored.board, row("scrape-gap", seconds=1.0))
    await monitored.query.until("up == 0")
    await monitored.query.until(f"absent({AGE})")
    await monitored.query.until(f"{AGE} == 3")
    assert await monitored.query("up") == 1


async def test_a_lag_shows_in_the_age_of_the_samples_and_is_caught_up(monitored: Monitored) -> None:
    monitored.age.set(1)
    await monitored.query.until(f"{AGE} == 1")
    put(monitored.board, row("scrape-lag", lagLabMinutes=1.2))
    await monitored.query.until(f"time() - timestamp({AGE}) > 0.9")
    monitored.age.set(9)
    assert await monitored.query("up") == 1
    await monitored.query.until(f"{AGE} == 9")
    assert await monitored.query.until(f"time() - timestamp({AGE})") > 0.9
    put(monitored.board)
    await monitored.query.until(f"time() - timestamp({AGE}) < 0.7")


async def test_a_lag_of_some_series_can_look_new(monitored: Monitored) -> None:
    monitored.age.set(1)
    await monitored.query.until(f"{AGE} == 1")
    put(monitored.board, row("scrape-lag", lagLabMinutes=60, timestamps=False, metric="shop_queue_*"))
    await monitored.query.until(f"{AGE} == 1")  # one scrape at least has been remembered
    before = await monitored.query("shop_orders_total") or 0.0
    await _scraped(monitored)
    monitored.age.set(9)
    monitored.orders.inc()
    await monitored.query.until(f"shop_orders_total > {before}")
    assert await monitored.query(AGE) == 1
    assert await monitored.query.until(f"time() - timestamp({AGE})") < 0.9
    put(monitored.board, row("scrape-lag", lagLabMinutes=60, seconds=0.0))
    await monitored.query.until(f"{AGE} == 9")


async def _scraped(monitored: Monitored) -> None:
    """Wait for two scrapes from now."""
    now = CLOCK.now().timestamp()
    await monitored.query.until(f"timestamp(up) > {now + 0.4}")


async def test_frozen_metrics_stand_still_and_look_alive(monitored: Monitored) -> None:
    monitored.age.set(1)
    await monitored.query.until(f"{AGE} == 1")
    put(monitored.board, row("frozen-metrics", app="a*"))
    await _scraped(monitored)
    monitored.age.set(9)
    monitored.orders.inc()
    await _scraped(monitored)
    assert await monitored.query(AGE) == 1
    assert await monitored.query("up") == 1
    assert await monitored.query.until(f"time() - timestamp({AGE})") < 0.9
    put(monitored.board)
    await monitored.query.until(f"{AGE} == 9")


async def test_missing_series_are_absent_and_the_others_are_there(monitored: Monitored) -> None:
    await monitored.query.until(AGE)
    put(monitored.board, row("missing-series"))
    await monitored.query.until(f"absent({AGE})")
    assert await monitored.query("shop_orders_total") is not None
    assert await monitored.query("up") == 1
    put(monitored.board, row("missing-series", app="worker"))
    await monitored.query.until(AGE)


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("POST", f"http://{POD_IP}:8080/metrics", 405),
        ("GET", "http://127.0.0.1:1/metrics", 403),
        ("GET", f"http://{POD_IP}:8081/metrics", 502),
    ],
    ids=["a write", "not a pod", "a pod that does not answer"],
)
async def test_the_proxy_asks_pods_only(method: str, url: str, status: int) -> None:
    board = Board("scrape", CLOCK)
    async with scrape_proxy(board) as proxy, aiohttp.ClientSession() as session:
        for rows in ([], [row("missing-series")]):
            put(board, *rows)
            async with session.request(method, url, proxy=proxy) as answer:
                assert answer.status == status


async def test_pods_that_are_not_known_yet_are_not_asked() -> None:
    pods = OnePod()
    pods.synced = False
    async with (
        scrape_proxy(Board("scrape", CLOCK), pods) as proxy,
        aiohttp.ClientSession() as session,
        session.get(f"http://{POD_IP}:8080/metrics", proxy=proxy) as answer,
    ):
        assert answer.status == 503


# What the faults make of an answer, without Prometheus


def scrape(pod: str = "api-1", at: float = 0.0) -> Scrape:
    return Scrape(pod, pod, "api", at)


def see(faults: ScrapeFaults, text: str, at: float, status: int = 200) -> Answer:
    one = scrape(at=at)
    return faults.apply(faults.biting(one), one, Answer(status, text))


def test_a_lag_never_goes_back_and_is_late_by_no_more_than_it_says() -> None:
    rows = [row("scrape-lag", lagLabMinutes=5, timestamps=False)]
    faults = ScrapeFaults(lambda: rows)
    seen = [see(faults, str(second), second).text for second in range(12)]
    assert seen == ["0"] * 6 + ["1", "2", "3", "4", "5", "6"]


def test_a_lag_plays_a_failure_back_too() -> None:
    faults = ScrapeFaults(lambda: [row("scrape-lag", lagLabMinutes=1)])
    see(faults, "x 1\n", 0)
    see(faults, "away", 1, 502)
    assert see(faults, "x 2\n", 2).status == 502
    assert see(faults, "x 3\n", 3) == Answer(200, "x 2 2000\n")


def test_a_frozen_target_is_not_asked_again_and_may_lag_as_well() -> None:
    faults = ScrapeFaults(lambda: [row("scrape-lag", lagLabMinutes=1), row("frozen-metrics")])
    rows = faults.biting(scrape())
    assert [one.fault for one in rows] == ["frozen-metrics", "scrape-lag"]
    assert not faults.knows(rows, scrape())
    see(faults, "", 0, 502)
    assert not faults.knows(rows, scrape())
    see(faults, "x 1\n", 1)
    assert faults.knows(rows, scrape())
    assert not faults.knows(rows, scrape("api-2"))
    assert see(faults, "", 2, 502) == Answer(200, "x 1 1000\n")
    see(faults, "", 3, 502)
    assert see(faults, "", 4, 502) == Answer(200, "x 1 3000\n")


def test_memory_is_bounded_and_ends_with_the_fault() -> None:
    rows: list[FaultRow] = [row("scrape-lag", lagLabMinutes=100)]
    faults = ScrapeFaults(lambda: rows)
    for tenth in range(3000):
        see(faults, "x 1\n", tenth / 10)
    (memory,) = faults._memory["scrape-lag-0001"].values()
    assert len(memory.answers) <= 202
    rows.clear()
    assert see(faults, "x 2\n", 301) == Answer(200, "x 2\n")
    assert not faults._memory


def test_the_seed_chooses_a_share_of_the_pods() -> None:
    pods = [f"worker-{number}" for number in range(400)]

    def hit(share: float, seed: int) -> set[str]:
        faults = ScrapeFaults(lambda: [row("scrape-gap", share=share, seed=seed)])
        return {pod for pod in pods if faults.biting(scrape(pod))}

    assert hit(0, 7) == set()
    assert hit(1, 7) == set(pods)
    assert 60 < len(hit(0.25, 7)) < 140
    assert hit(0.25, 7) < hit(0.5, 7)
    assert hit(0.25, 7) != hit(0.25, 8)


def test_a_gap_of_a_probability_is_drawn_from_the_seed() -> None:
    def failures(seed: int) -> list[bool]:
        faults = ScrapeFaults(lambda: [row("scrape-gap", probability=0.3, seed=seed)])
        return [see(faults, "x 1\n", second).failed for second in range(300)]

    assert failures(7) == failures(7)
    assert failures(7) != failures(8)
    assert 60 < sum(failures(7)) < 120


TEXT = """# HELP shop_wait_seconds Time.
# TYPE shop_wait_seconds histogram
shop_wait_seconds_bucket{le="1",path="a } b"} 1
shop_wait_seconds_sum 2
# TYPE shop_orders_total counter
shop_orders_total{result="late"} 4 1700
# a remark

up_to_date 1
"""


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("*", TEXT),
        ("nothing", ""),
        ("shop_wait_seconds", TEXT.partition("# TYPE shop_orders")[0]),
        ("*_sum", "shop_wait_seconds_sum 2\n"),
        ("up*", "up_to_date 1\n"),
        (
            "shop_orders_tota[l]",
            '# TYPE shop_orders_total counter\nshop_orders_total{result="late"} 4 1700\n',
        ),
    ],
)
def test_series_are_chosen_by_name(pattern: str, chosen: str) -> None:
    found, others = split(TEXT, pattern)
    assert found == chosen
    assert sorted((found + others).splitlines()) == sorted(TEXT.splitlines())


def test_a_stamp_dates_what_has_no_date() -> None:
    lines = stamp(TEXT, 99).splitlines()
    assert [line for line in lines if line.endswith(" 99")] == [
        'shop_wait_seconds_bucket{le="1",path="a } b"} 1 99',
        "shop_wait_seconds_sum 2 99",
        "up_to_date 1 99",
    ]
    assert len(lines) == len(TEXT.splitlines())
