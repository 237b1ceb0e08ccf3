"""Faults of payments and of starts, as a customer meets them, and how they go away."""

from __future__ import annotations

import time
from typing import Any

import pytest
from shop_pods import Pods, until
from test_faults_demonstration import Shop
from test_faults_injector import HandClock

from lab.errors import ConfigError
from lab.shop.condition import Directive
from lab.shop.database import Database, connect
from lab.shop.directives import ServiceDirectives
from lab.shop.load import customers
from lab.shop.provider import Provider
from lab.shop.release import Defect


async def timed(shop: Shop) -> tuple[int, float]:
    """Status of an order, and the seconds that it took."""
    began = time.monotonic()
    return await shop.order(), time.monotonic() - began


@pytest.mark.slow
async def test_payments_late_refusing_silent_and_back_by_itself(pods: Pods, faults_api: Any) -> None:
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
    assert await pods.metric(shop.api, "shop_orders_total", result="failed")
    await faults.call("DELETE", f"faults/{silent['id']}")
    await until(shop.sells, "healed, the shop sells")
    [outage] = await faults.inject("slow-recovery", parameters={"recoveryLabMinutes": 2})
    await until(refused, "payments is out")
    await until(lambda: faults.state(outage["id"], "undone"), "the outage ends by itself")
    assert (await faults.entry(outage["id"]))["undoneBy"] == "itself"
    await until(shop.sells, "the shop sells")
    await faults.inject("dependency-errors", forSeconds=3, parameters={"status": 500})
    status, answer = await faults.call("POST", "faults", {"name": "dependency-errors"})
    assert (status, answer["error"]) == (409, "payments has a dependency-errors already")
    await until(refused, "payments refuses")
    assert await pods.metric(shop.payments, "shop_payments_total", result="failed")
    faults.pod.process.kill()
    await until(shop.sells, "the lease is over, though nobody is left to undo it")


async def test_after_an_outage_a_provider_takes_a_growing_part() -> None:
    clock = HandClock()
    given = {"since": clock.now().timestamp(), "outageSeconds": 60, "recoverySeconds": 100, "seed": 3}
    provider = Provider(lambda: (Directive("d", "outage", given),), clock)

    async def refused(at: float) -> float:
        clock.seconds = at
        return sum([await provider.meet() == 503 for _ in range(400)]) / 400

    assert await refused(59) == 1.0
    assert [await refused(at) for at in (85, 110, 135)] == pytest.approx([0.75, 0.5, 0.25], abs=0.1)
    assert await refused(161) == 0.0


async def test_a_share_of_the_requests_is_hit_and_the_same_seed_hits_the_same() -> None:
    given = {"share": 0.25, "status": 500, "seed": 7}

    async def hit() -> list[int]:
        provider = Provider(lambda: (Directive("d", "errors", given),), HandClock())
        return [await provider.meet() for _ in range(400)]

    first = await hit()
    assert first == await hit()
    assert first.count(500) / 400 == pytest.approx(0.25, abs=0.08)


@pytest.mark.slow
async def test_a_slow_start_hurts_only_who_is_restarted_and_is_cut_short_by_healing(
    pods: Pods, faults_api: Any
) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    for deployment in ("worker", "api"):
        parameters = {"deployment": deployment, "delayLabMinutes": 60}
        await faults.inject("slow-start", parameters=parameters)
    await until(shop.sells, "the shop sells")
    await shop.restart("worker-b")
    assert await shop.probes() == (200, 503)
    await until(shop.late, "orders are late")
    api = await pods.start("lab.shop.api", "api-2", PAYMENTS_URL=shop.payments.base)

    async def ready() -> bool:
        return await pods.status(api, "/readyz") == 200

    assert not await ready()
    await faults.call("DELETE", "faults")
    await until(shop.sells, "the new worker has started")
    await until(ready, "the new api has started")


async def test_a_slow_start_takes_its_time_and_no_longer(database_url: str) -> None:
    clock = HandClock()
    with connect(database_url, "test") as database:
        database.execute(
            "INSERT INTO chaos.directives (id, mode, service, parameters)"
            " VALUES ('d', 'slow-start', 'worker', '{\"seconds\": 8}')"
        )
    shop = Database(database_url, "test", clock)
    await ServiceDirectives(shop, "api", clock).wait_to_start()
    assert clock.seconds == 0
    await ServiceDirectives(shop, "worker", clock).wait_to_start()
    assert clock.seconds == pytest.approx(8, abs=0.5)
    await shop.close()
    nowhere = Database("postgresql://shop@127.0.0.1:9/none", "test", clock)
    await ServiceDirectives(nowhere, "worker", clock).wait_to_start()
    assert clock.seconds < 9, "without a database nobody waits"


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
