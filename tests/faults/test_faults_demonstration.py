"""Each fault on the running shop: its damage, seen by a customer, and how the damage goes away."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from shop_pods import Pod, Pods, until

from lab.localkube.kubelet.disk import disk_usage
from lab.shop.load import customers

BUSY = 0
SLACK = 60.0
"""Seconds by which a clock that is right may seem to be off, on a machine that is busy."""


class Shop:
    """payments, api and one worker on the busiest partition; nobody works on the others."""

    def __init__(self, pods: Pods) -> None:
        self.pods = pods
        self.api: Pod
        self.payments: Pod
        self.worker: Pod

    async def open(self) -> Shop:
        self.payments, self.worker = await asyncio.gather(
            self.pods.start("lab.shop.payments", "payments-1"),
            self.pods.start("lab.shop.worker", "worker-a"),
        )
        self.api = await self.pods.start("lab.shop.api", "api-1", PAYMENTS_URL=self.payments.base)
        await until(self.sells, "the shop sells")
        with psycopg.connect(self.pods.common["DATABASE_URL"], autocommit=True) as database:
            database.execute(
                "UPDATE shop.partitions SET holder = 'elsewhere', lease_expires = 'infinity'"
                " WHERE partition > 0"
            )
        return self

    async def order(self) -> int:
        body = {"customer": customers()[BUSY][0], "amountCents": 500}
        async with self.pods.session.post(f"{self.api.base}/orders", json=body) as answer:
            return answer.status

    async def sells(self) -> bool:
        return await self.order() == 201

    async def late(self) -> bool:
        return await self.order() == 202

    async def probes(self) -> tuple[int, int]:
        return await self.pods.status(self.worker, "/healthz"), await self.pods.status(self.worker, "/readyz")

    async def queue(self, what: str) -> float:
        return await self.pods.metric(self.api, f"shop_queue_{what}", partition=str(BUSY)) or 0.0

    async def empty(self) -> bool:
        return await self.queue("orders") == 0

    async def restart(self, name: str) -> None:
        await self.worker.stop()
        self.worker = await self.pods.start("lab.shop.worker", name)


async def test_hung_workers_by_restart(pods: Pods, faults_api: Any) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    [entry] = await faults.inject("hung-workers", parameters={"partition": BUSY})
    assert entry["target"] == {"kind": "Pod", "namespace": "shop", "name": "worker-a", "partition": BUSY}
    assert (entry["state"], entry["decoy"]) == ("active", False)
    assert entry["plannedAt"] <= entry["appliedAt"]
    await until(shop.late, "orders are late")
    assert await shop.probes() == (200, 200)
    assert await pods.metric(faults.pod, "toil_faults_active", fault="hung-workers") == 1
    await shop.restart("worker-b")
    await until(shop.sells, "the new pod sells")
    await until(shop.empty, "the queue drains")
    await until(lambda: faults.state(entry["id"], "undone"), "the journal notices the restart")
    assert (await faults.entry(entry["id"]))["undoneBy"] == "restart"
    assert await pods.metric(faults.pod, "toil_faults_active", fault="hung-workers") == 0


@pytest.mark.slow
async def test_hung_workers_recurring_comes_back_until_healed(pods: Pods, faults_api: Any) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    [entry] = await faults.inject("hung-workers", parameters={"partition": BUSY, "recurring": True})
    await until(shop.late, "orders are late")
    await shop.restart("worker-b")

    async def holds() -> bool:
        held = await pods.metric(shop.worker, "shop_worker_partition_info", partition=str(BUSY))
        return held == 1

    await until(holds, "the new pod has the partition")
    assert await shop.late()
    done = await pods.metric(shop.worker, "shop_worker_orders_processed_total", partition=str(BUSY))
    assert not done, "it hung before its first order"
    assert await faults.state(entry["id"], "active")
    status, answer = await faults.call("DELETE", f"faults/{entry['id']}")
    assert (status, answer["entries"][0]["undoneBy"]) == (200, "heal")
    await until(shop.sells, "healed, the same pod sells")


@pytest.mark.slow
async def test_slow_worker_ages_below_the_alert_and_drains(pods: Pods, faults_api: Any) -> None:
    shop = await Shop(pods).open()
    load = await pods.start("lab.shop.load", "load-1", API_URL=shop.api.base, ORDERS_PER_SECOND="16")
    faults = await faults_api()
    [entry] = await faults.inject("slow-worker", parameters={"partition": BUSY})
    assert entry["decoy"] is True
    ages: list[float] = []
    progress: set[float] = set()

    async def rose_and_fell() -> bool:
        ages.append(await shop.queue("oldest_order_age_seconds"))
        last = await pods.metric(
            shop.worker, "shop_worker_last_progress_timestamp_seconds", partition=str(BUSY)
        )
        progress.add(last or 0.0)
        return max(ages) > 1.3 and ages[-1] < max(ages) - 0.8

    await until(rose_and_fell, "the queue ages and drains by itself")
    assert max(ages) < 3.0
    assert len(progress) >= 3
    assert await shop.probes() == (200, 200)
    await faults.call("DELETE", "faults?name=slow-worker")
    assert await load.stop() == 0
    await until(shop.empty, "the queue is empty")
    assert await shop.sells()


async def test_a_leaking_worker_grows_until_it_is_healed(pods: Pods, faults_api: Any) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    process = psutil.Process(shop.worker.process.pid)
    before = process.memory_info().rss
    parameters = {"partition": BUSY, "megabytesPerLabMinute": 60}
    [entry] = await faults.inject("memory-leak", parameters=parameters)

    async def grown() -> bool:
        return process.memory_info().rss > before + 60 * 1024 * 1024

    await until(grown, "the worker has grown")
    await until(shop.sells, "the shop sells")
    await faults.call("DELETE", f"faults/{entry['id']}")

    async def shrunk() -> bool:
        return process.memory_info().rss < before + 20 * 1024 * 1024

    await until(shrunk, "healed, the memory is free again")


@pytest.mark.slow
async def test_a_worker_whose_clock_is_behind_confirms_orders_before_they_were_placed(
    pods: Pods, faults_api: Any
) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()

    async def waited() -> float:
        """Seconds from an order's arrival to its confirmation, as the shop's own book has them."""
        assert await shop.sells()
        with psycopg.connect(pods.common["DATABASE_URL"]) as database:
            row = database.execute(
                "SELECT extract(epoch FROM confirmed_at - created_at)::float8 FROM shop.orders"
                " WHERE confirmed_at IS NOT NULL ORDER BY id DESC LIMIT 1"
            ).fetchone()
        assert row is not None
        return float(row[0])

    async def worker_says(name: str, **labels: str) -> float:
        return await pods.metric(shop.worker, name, **labels) or 0.0

    async def offset() -> float:
        return await worker_says("shop_worker_clock_offset_seconds")

    async def behind() -> bool:
        return abs(await offset() + 300) < SLACK

    async def right() -> bool:
        return abs(await offset()) < SLACK

    async def idle() -> float:
        """How long ago the worker did something, for whoever compares its metric with real time."""
        last = await worker_says("shop_worker_last_progress_timestamp_seconds", partition=str(BUSY))
        return time.time() - last

    await until(right, "its clock is right")
    assert await waited() > 0
    [entry] = await faults.inject("clock-skew", parameters={"partition": BUSY})
    assert entry["parameters"]["seconds"] == -300
    await until(behind, "its clock is behind")
    assert await waited() < -200
    assert await idle() > 200
    assert await shop.probes() == (200, 200)
    assert await worker_says("shop_worker_partition_info", partition=str(BUSY)) == 1, "leases hold"
    await faults.call("DELETE", f"faults/{entry['id']}")
    await until(right, "healed, its clock is right")
    assert await waited() > 0
    assert await idle() < 200


@pytest.mark.slow
async def test_a_disk_fills_until_it_is_healed(pods: Pods, faults_api: Any, tmp_path: Path) -> None:
    """Where no kubelet evicts anybody; tests/e2e shows one that does."""
    pods.common["DISK_DIR"] = str(tmp_path)
    shop = await Shop(pods).open()
    journal = (tmp_path / "confirmed.log").read_text()
    assert re.fullmatch(rf"\S+Z partition={BUSY} orders=\d+\n", journal)
    faults = await faults_api()
    parameters = {"partition": BUSY, "megabytesPerLabMinute": 8}
    [entry] = await faults.inject("disk-full", parameters=parameters)

    async def filled() -> bool:
        return disk_usage(tmp_path) > 4 << 20

    await until(filled, "the disk fills")
    await until(shop.sells, "the shop sells")
    await faults.call("DELETE", f"faults/{entry['id']}")

    async def emptied() -> bool:
        return [path.name for path in tmp_path.iterdir() if path.suffix == ".log"] == ["confirmed.log"]

    await until(emptied, "healed, the journal is all there is")
    assert (await faults.entry(entry["id"]))["undoneBy"] == "heal"


@pytest.mark.slow
async def test_a_poison_message_ends_each_worker_until_it_is_moved_aside(pods: Pods, faults_api: Any) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    [entry] = await faults.inject("poison-message", parameters={"partition": BUSY})

    async def ended() -> bool:
        return shop.worker.process.returncode is not None

    await until(ended, "the worker ends")
    assert shop.worker.process.returncode == 1
    await shop.restart("worker-b")
    await until(ended, "a restart is no cure")
    await until(shop.late, "orders are late")

    async def attempts() -> bool:
        return await shop.queue("attempts") == 2

    await until(attempts, "the attempts are counted")
    async with pods.session.get(f"{shop.api.base}/orders?minAttempts=2") as answer:
        [order] = (await answer.json())["orders"]
    aside = f"{shop.api.base}/orders/{order['id']}/set-aside"
    async with pods.session.post(aside, json={"reason": "no authorization"}) as answer:
        assert (answer.status, (await answer.json())["attempts"]) == (200, 2)
    async with pods.session.post(aside, json={"reason": "again"}) as answer:
        assert answer.status == 404
    async with pods.session.post(aside, json={}) as answer:
        assert answer.status == 400
    await shop.restart("worker-c")
    await until(shop.sells, "without that order the shop sells")
    await until(lambda: faults.state(entry["id"], "undone"), "the journal notices")
    assert (await faults.entry(entry["id"]))["undoneBy"] == "repair"
    async with pods.session.get(f"{shop.api.base}/dead-letters") as answer:
        assert [letter["reason"] for letter in (await answer.json())["orders"]] == ["no authorization"]
    [another] = await faults.inject("poison-message", parameters={"partition": BUSY})
    await until(ended, "the worker ends")
    await faults.call("DELETE", f"faults/{another['id']}")
    await shop.restart("worker-d")
    await until(shop.sells, "healed, the shop sells")
