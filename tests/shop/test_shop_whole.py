"""The whole shop: real programs, real HTTP, real PostgreSQL; what a hang does and what cures it."""

from __future__ import annotations

import asyncio

import psycopg
from shop_pods import Pod, Pods, until

from lab.shop.load import customers


async def shop(pods: Pods, workers: int) -> tuple[Pod, list[Pod]]:
    """payments, api and workers that each hold a partition; nobody works on the other partitions."""
    payments, *started = await asyncio.gather(
        pods.start("lab.shop.payments", "payments-1"),
        *(pods.start("lab.shop.worker", f"worker-{n}") for n in range(workers)),
    )
    api = await pods.start("lab.shop.api", "api-1", PAYMENTS_URL=payments.base)
    for worker in started:
        await until(lambda pod=worker: partition_of_pod(pods, pod), f"{worker.name} holds a partition")
    with psycopg.connect(pods.common["DATABASE_URL"], autocommit=True) as database:
        database.execute(
            "UPDATE shop.partitions SET holder = 'elsewhere', lease_expires = 'infinity' WHERE holder IS NULL"
        )
    await until(lambda: ready(pods, api), "the api is ready")
    return api, started


async def ready(pods: Pods, pod: Pod) -> bool:
    return await pods.status(pod, "/readyz") == 200


async def partition_of_pod(pods: Pods, pod: Pod) -> str | None:
    """The partition that a worker says it holds, as text."""
    for partition in range(8):
        if await pods.metric(pod, "shop_worker_partition_info", partition=str(partition)) == 1:
            return str(partition)
    return None


async def order(pods: Pods, api: Pod, partition: int) -> tuple[int, dict]:
    body = {"customer": customers()[partition][0], "amountCents": 1250}
    async with pods.session.post(f"{api.base}/orders", json=body) as answer:
        return answer.status, await answer.json()


async def test_an_order_is_confirmed_shown_and_counted(pods: Pods) -> None:
    api, [worker] = await shop(pods, 1)
    status, body = await order(pods, api, 0)
    assert (status, body["state"]) == (201, "confirmed")
    async with pods.session.get(f"{api.base}/orders/{body['id']}") as answer:
        shown = await answer.json()
    assert shown["state"] == "confirmed"
    assert shown["createdAt"] < shown["confirmedAt"]
    assert await pods.metric(api, "shop_orders_total", result="confirmed") == 1
    assert await pods.metric(api, "shop_order_confirmation_seconds_bucket", le="1.0") == 1
    assert await pods.metric(worker, "shop_worker_orders_processed_total", partition="0") == 1
    assert [await pods.metric(api, "shop_queue_orders", partition=str(p)) for p in range(8)] == [0.0] * 8


async def test_without_a_worker_an_order_is_late_and_the_queue_grows_old(pods: Pods) -> None:
    api, _ = await shop(pods, 1)
    status, body = await order(pods, api, 3)
    assert (status, body["state"]) == (202, "waiting")
    assert await pods.metric(api, "shop_orders_total", result="late") == 1
    assert await pods.metric(api, "shop_order_confirmation_seconds_bucket", le="1.0") == 0

    async def old() -> bool:
        return (await pods.metric(api, "shop_queue_oldest_order_age_seconds", partition="3") or 0) > 2

    await until(old, "the waiting order shows in the gauge")
    assert await pods.metric(api, "shop_queue_orders", partition="3") == 1


async def test_a_hung_worker_is_alive_ready_and_does_nothing_until_replaced(
    pods: Pods, database_url: str
) -> None:
    api, [worker] = await shop(pods, 1)
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("INSERT INTO chaos.directives (id, mode, pod) VALUES ('d', 'hang', 'worker-0')")

    async def stuck() -> bool:
        return (await order(pods, api, 0))[0] == 202

    await until(stuck, "orders stay unconfirmed")
    assert await pods.status(worker, "/healthz") == 200
    assert await ready(pods, worker)
    assert await partition_of_pod(pods, worker) == "0"
    replacement = await pods.start("lab.shop.worker", "worker-new")
    assert await worker.stop() == 0
    assert await until(lambda: partition_of_pod(pods, replacement), "the replacement takes over") == "0"

    async def drained() -> bool:
        return await pods.metric(api, "shop_queue_orders", partition="0") == 0

    await until(drained, "the queue drains")
    assert (await order(pods, api, 0))[0] == 201


async def test_a_killed_worker_loses_its_partition_when_the_lease_expires(pods: Pods) -> None:
    _, [worker] = await shop(pods, 1)
    worker.process.kill()
    replacement = await pods.start("lab.shop.worker", "worker-new")

    assert await until(lambda: partition_of_pod(pods, replacement), "the replacement takes over") == "0"
    assert await ready(pods, replacement)
