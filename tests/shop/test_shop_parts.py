"""The shop's parts by themselves: settings, load, payments, a worker's condition, the api's refusals."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from itertools import islice

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from shop_pods import Pods, until

from lab.core.clock import SystemClock
from lab.core.seed import stream
from lab.core.staffing import PARTITIONS
from lab.errors import ConfigError
from lab.shop.condition import Directive, Slowness, WorkerCondition
from lab.shop.database import connect
from lab.shop.lease import Lease
from lab.shop.load import arrivals, customers
from lab.shop.payments import latency
from lab.shop.progress import Progress
from lab.shop.settings import SHARES, ShopSettings, partition_of


def test_the_environment_is_read_with_defaults() -> None:
    assert ShopSettings.from_environment({}).orders_per_second == 16
    settings = ShopSettings.from_environment(
        {"LAB_SEED": "9", "API_URL": "http://x/", "LAB_HOUR_SECONDS": "120"}
    )
    assert (settings.seed, settings.api_url, settings.scale.hour_seconds) == (9, "http://x", 120)


def test_a_wrong_environment_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        ShopSettings.from_environment({"LAB_SEED": "x", "LAB_HOUR_SECONDS": "0", "PORT": "nan"})
    assert len(caught.value.problems) == 3


def test_shares_are_a_whole_and_one_partition_is_nearly_idle() -> None:
    assert len(SHARES) == PARTITIONS
    assert sum(SHARES) == pytest.approx(1.0)
    assert min(SHARES) * 16 < 0.1


def test_customers_are_known_for_every_partition() -> None:
    for partition, names in enumerate(customers()):
        assert names
        assert {partition_of(name) for name in names} == {partition}


def test_arrivals_follow_the_seed_the_rate_and_the_shares() -> None:
    first = list(islice(arrivals(stream(3, "load"), 16.0), 20_000))
    assert first == list(islice(arrivals(stream(3, "load"), 16.0), 20_000))
    assert first[:10] != list(islice(arrivals(stream(4, "load"), 16.0), 10))
    assert 20_000 / sum(gap for gap, _, _ in first) == pytest.approx(16.0, rel=0.05)
    seen = Counter(partition_of(customer) for _, customer, _ in first)
    for partition, share in enumerate(SHARES[:-1]):
        assert seen[partition] / 20_000 == pytest.approx(share, rel=0.15)
    assert all(amount > 0 for _, _, amount in first)


def test_payments_take_some_milliseconds_and_have_a_tail() -> None:
    chance = stream(1, "payments")
    drawn = sorted(latency(chance) for _ in range(5000))
    assert drawn[2500] == pytest.approx(0.015, rel=0.1)
    assert 0.03 < drawn[-50] <= drawn[-1] <= 0.4


def test_a_hung_thread_blocks_until_the_hang_is_over() -> None:
    condition, passed = WorkerCondition(), threading.Event()

    def work() -> None:
        condition.pass_()
        passed.set()

    condition.follow([Directive("d", "hang", {})])
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert condition.hung
    assert not passed.wait(0.1)
    condition.follow([])
    assert passed.wait(5)
    thread.join(5)


def test_directives_are_followed_and_unknown_modes_ignored() -> None:
    condition = WorkerCondition()
    condition.follow([Directive("a", "dance", {})])
    assert (condition.hung, condition.slow) == (False, None)
    condition.follow([Directive("a", "slow", {"ordersPerSecond": 2, "peakSeconds": 3})])
    assert condition.slow == Slowness(2.0, 3.0)
    condition.follow([Directive("a", "slow", {}), Directive("b", "hang", {})])
    assert (condition.hung, condition.slow) == (True, Slowness(1.0, 2.0))


async def test_the_api_refuses_what_is_wrong_and_fails_without_payments(pods: Pods) -> None:
    api = await pods.start("lab.shop.api", "api-1", PAYMENTS_URL="http://127.0.0.1:9")

    async def ready() -> bool:
        return await pods.status(api, "/readyz") == 200

    await until(ready, "the api is ready")

    async def post(body: bytes) -> tuple[int, str]:
        async with pods.session.post(f"{api.base}/orders", data=body) as answer:
            return answer.status, (await answer.json())["error"]

    assert await post(b"{") == (400, "the body is a JSON object with customer and amountCents")
    assert (await post(b'{"customer": "", "amountCents": 1}'))[0] == 400
    assert (await post(b'{"customer": "a\\u0000", "amountCents": 1}'))[0] == 400
    for amount in (b"0", b"-5", b"1.5", b"true", b'"7"', b"1e30"):
        assert (await post(b'{"customer": "a", "amountCents": %s}' % amount))[0] == 400, amount
    status, error = await post(b'{"customer": "a", "amountCents": 1}')
    assert (status, error) == (502, "payments does not answer: ClientConnectorError")
    assert await pods.metric(api, "shop_orders_total", result="failed") == 1
    assert await pods.metric(api, "shop_order_confirmation_seconds_count") == 1
    assert await pods.metric(api, "shop_order_confirmation_seconds_bucket", le="1.0") == 0
    for unknown in ("1", "9" * 30):
        assert await pods.status(api, f"/orders/{unknown}") == 404
    assert await api.stop() == 0


async def test_without_a_database_the_pods_live_unready_and_show_no_numbers(pods: Pods) -> None:
    nowhere = {"DATABASE_URL": "postgresql://shop@127.0.0.1:9/none"}
    api = await pods.start("lab.shop.api", "api-1", PAYMENTS_URL="http://127.0.0.1:9", **nowhere)
    worker = await pods.start("lab.shop.worker", "worker-1", **nowhere)
    for pod in (api, worker):
        assert await pods.status(pod, "/healthz") == 200
        assert await pods.status(pod, "/readyz") == 503
    assert await pods.metric(api, "shop_queue_orders") is None
    assert (await worker.stop(), await api.stop()) == (0, 0)


async def test_connections_that_the_server_ended_come_back(pods: Pods, database_url: str) -> None:
    payments = await pods.start("lab.shop.payments", "payments-1")
    api = await pods.start("lab.shop.api", "api-1", PAYMENTS_URL=payments.base)
    await pods.start("lab.shop.worker", "worker-0")

    async def sells() -> bool:
        body = {"customer": customers()[0][0], "amountCents": 100}
        async with pods.session.post(f"{api.base}/orders", json=body) as answer:
            return answer.status == 201

    await until(sells, "the shop sells")
    with psycopg.connect(database_url, autocommit=True) as database:
        ended = database.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
        assert ended is not None
        assert ended[0] >= 4
    await until(sells, "the shop sells again")
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("DROP SCHEMA shop CASCADE")
        database.execute("DROP SCHEMA chaos CASCADE")
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await until(sells, "an empty database becomes a shop again")


async def test_a_worker_that_lost_its_row_takes_the_same_partition_again(database_url: str) -> None:
    clock = SystemClock()
    with connect(database_url, "test") as database:
        database.execute(
            "UPDATE shop.partitions SET holder = 'elsewhere', lease_expires = 'infinity' WHERE partition < 2"
        )
        lease = Lease(
            database_url, "worker-x", WorkerCondition(), Progress(CollectorRegistry(), clock), clock
        )
        lease.start()

        async def holds() -> bool:
            row = database.execute("SELECT holder FROM shop.partitions WHERE partition = 2").fetchone()
            return row == ("worker-x",) and lease.partition == 2

        await until(holds, "partition 2 is taken")
        database.execute("UPDATE shop.partitions SET holder = NULL")
        await until(holds, "partition 2 is taken again")
        lease.stop()
        assert database.execute("SELECT count(holder) FROM shop.partitions").fetchone() == (0,)


async def test_a_partition_that_hangs_its_worker_does_so_before_the_worker_may_begin(
    database_url: str,
) -> None:
    class Watched(WorkerCondition):
        """Remembers what the consumer could see at the moment when the hang was taken on."""

        partition_when_hung: int | None = -1

        def follow(self, directives: Iterable[Directive]) -> None:
            super().follow(directives)
            if self.hung and self.partition_when_hung == -1:
                self.partition_when_hung = lease.partition

    clock, condition = SystemClock(), Watched()
    with connect(database_url, "test") as database:
        for partition in range(PARTITIONS):
            database.execute(
                "INSERT INTO chaos.directives (id, partition, mode) VALUES (%s, %s, 'hang')",
                (f"hang-{partition}", partition),
            )
    lease = Lease(database_url, "worker-y", condition, Progress(CollectorRegistry(), clock), clock)
    lease.start()

    async def holds() -> bool:
        return lease.partition is not None

    await until(holds, "a partition is taken")
    lease.stop()
    assert condition.partition_when_hung is None
