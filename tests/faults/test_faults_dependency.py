"""Faults of payments and of starts, as a customer meets them, and how they go away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from shop_pods import Pods, until
from test_faults_demonstration import Shop

from lab.errors import ConfigError
from lab.shop.database import connect
from lab.shop.load import customers
from lab.shop.release import Defect


async def timed(shop: Shop) -> tuple[int, float]:
    """Status of an order, and the seconds that it took."""
    began = time.monotonic()
    return await shop.order(), time.monotonic() - began


async def test_payments_late_refusing_and_silent(pods: Pods, faults_api: Any) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()

    async def refused() -> bool:
        return await shop.order() == 502

    [late] = await faults.inject("dependency-latency", parameters={"delaySeconds": 0.6})

    async def slow() -> bool:
        status, seconds = await timed(shop)
        return status == 201 and seconds >= 0.6

    await until(slow, "orders take longer")
    await faults.call("DELETE", f"faults/{late['id']}")
    [silent] = await faults.inject("dependency-hang")
    await until(refused, "payments does not answer in time")
    status, seconds = await timed(shop)
    assert (status, seconds >= 1.0) == (502, True)
    failed = await pods.metric(shop.api, "shop_orders_total", result="failed")
    assert failed
    await faults.call("DELETE", f"faults/{silent['id']}")
    await until(shop.sells, "healed, the shop sells")
    [wrong] = await faults.inject("dependency-errors", forSeconds=30, parameters={"status": 500})
    await until(refused, "payments refuses")
    assert await pods.metric(shop.payments, "shop_payments_total", result="failed")
    status, answer = await faults.call("POST", "faults", {"name": "dependency-errors"})
    assert (status, answer["error"]) == (409, "payments has a dependency-errors already")
    await faults.call("DELETE", f"faults/{wrong['id']}")
    await until(shop.sells, "healed, the shop sells")


async def test_payments_comes_back_slowly_and_by_itself(pods: Pods, faults_api: Any) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    parameters = {"outageLabMinutes": 1, "recoveryLabMinutes": 3}
    [entry] = await faults.inject("slow-recovery", parameters=parameters)
    began, seen = time.monotonic(), []

    async def over() -> bool:
        for status in await asyncio.gather(*(shop.order() for _ in range(5))):
            seen.append((time.monotonic() - began, status))
        return bool(await faults.state(entry["id"], "undone"))

    await until(over, "the outage ends by itself")
    assert (await faults.entry(entry["id"]))["undoneBy"] == "itself"
    assert {status for at, status in seen if 0.4 < at < 0.9} == {502}
    climbing = {status for at, status in seen if 1.5 < at < 3.5}
    assert climbing == {201, 502}
    await until(shop.sells, "the shop sells")


async def test_a_directive_ends_with_its_lease_even_without_an_injector(pods: Pods, faults_api: Any) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    await faults.inject("dependency-errors", forSeconds=2)

    async def refused() -> bool:
        return await shop.order() == 502

    await until(refused, "payments refuses")
    faults.pod.process.kill()
    await faults.pod.process.wait()
    await until(shop.sells, "the lease is over", 5)


async def test_a_slow_start_hurts_only_who_is_restarted(pods: Pods, faults_api: Any) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    parameters = {"deployment": "worker", "delayLabMinutes": 3}
    [entry] = await faults.inject("slow-start", parameters=parameters)
    assert await shop.sells()
    began = time.monotonic()
    await shop.restart("worker-b")
    assert await shop.probes() == (200, 503)
    assert await shop.late()
    await until(shop.sells, "the new pod has started")
    assert time.monotonic() - began > 3
    assert (await shop.probes())[1] == 200
    await faults.call("DELETE", f"faults/{entry['id']}")
    began = time.monotonic()
    await shop.restart("worker-c")
    await until(shop.sells, "the next pod starts at once")
    assert time.monotonic() - began < 3


async def test_a_slow_start_that_is_healed_is_cut_short(
    pods: Pods, faults_api: Any, database_url: str
) -> None:
    connect(database_url, "test").close()
    faults = await faults_api()
    parameters = {"deployment": "api", "delayLabMinutes": 60}
    [entry] = await faults.inject("slow-start", parameters=parameters)
    api = await pods.start("lab.shop.api", "api-1", PAYMENTS_URL="http://127.0.0.1:9")

    async def ready() -> bool:
        return await pods.status(api, "/readyz") == 200

    assert not await ready()
    await faults.call("DELETE", f"faults/{entry['id']}")
    await until(ready, "the api is ready")


async def test_a_defect_meets_always_the_same_customers(pods: Pods) -> None:
    known = [name for names in customers() for name in names]
    defect = Defect("failing", 0.3)
    hit = [name for name in known if defect.meets(name)]
    assert 0.15 < len(hit) / len(known) < 0.45
    assert all(Defect("slow", 0.6).meets(name) for name in hit), "a larger share holds the smaller one"
    text = '{"symptom": "failing", "share": 0.3, "delaySeconds": 1}'
    payments = await pods.start("lab.shop.payments", "payments-1")
    worker = await pods.start("lab.shop.worker", "worker-1")
    api = await pods.start("lab.shop.api", "api-1", PAYMENTS_URL=payments.base, RELEASE_DEFECT=text)

    async def order(customer: str) -> int:
        body = {"customer": customer, "amountCents": 500}
        async with pods.session.post(f"{api.base}/orders", json=body) as answer:
            return answer.status

    async def ready() -> bool:
        return await pods.status(api, "/readyz") == await pods.status(worker, "/readyz") == 200

    await until(ready, "the release is ready, whatever it does")
    assert [await order(name) for name in hit[:3]] == [500] * 3
    spared = next(name for name in known if not defect.meets(name))
    assert await order(spared) in (201, 202)


@pytest.mark.parametrize("text", ["x", "[]", '{"symptom": "odd", "share": 1, "delaySeconds": 1}'])
def test_a_wrong_defect_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="RELEASE_DEFECT"):
        Defect.from_text(text)
