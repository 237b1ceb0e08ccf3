"""Sessions that hold locks, or only look like it: their damage, their cure, and the death of their client."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from shop_pods import Pods, until
from test_faults_demonstration import BUSY, Shop


def sessions(url: str, client: str) -> list[tuple[int, str]]:
    with psycopg.connect(url, autocommit=True) as database:
        return database.execute(
            "SELECT pid, state FROM pg_stat_activity"
            " WHERE application_name = %s AND datname = current_database()",
            (client,),
        ).fetchall()


@pytest.mark.slow
async def test_a_lock_makes_orders_fail_until_its_session_ends_and_a_report_does_not(
    pods: Pods, faults_api: Any, database_url: str
) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    [entry] = await faults.inject("lock-pile-up")
    assert entry["target"] == {"kind": "Deployment", "namespace": "shop", "name": "db"}
    [(pid, state)] = sessions(database_url, "psql")
    assert state == "idle in transaction"
    with psycopg.connect(database_url, autocommit=True) as database:

        async def piles_up() -> bool:
            if await shop.order() != 503:
                return False
            rows = database.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", (pid,)
            ).fetchone()
            return rows is not None

        await until(piles_up, "orders fail")
        database.execute("SELECT pg_terminate_backend(%s)", (pid,))
    await until(shop.sells, "without that session the shop sells")
    await until(lambda: faults.state(entry["id"], "undone"), "the journal notices")
    assert (await faults.entry(entry["id"]))["undoneBy"] == "repair"
    [report] = await faults.inject("long-transaction")
    assert report["decoy"] is True
    [(pid, state)] = sessions(database_url, "monthly-report")
    assert state == "idle in transaction"
    await until(shop.sells, "it harms nobody")
    with psycopg.connect(database_url, autocommit=True) as database:
        blocked = database.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))", (pid,)
        ).fetchone()
        assert blocked == (0,)
        database.execute("SELECT pg_terminate_backend(%s)", (pid,))
    await until(lambda: faults.state(report["id"], "undone"), "the journal notices")
    assert (await faults.entry(report["id"]))["undoneBy"] == "repair"


@pytest.mark.slow
async def test_a_locked_partition_is_worked_on_by_nobody_and_death_of_the_injector_frees_it(
    pods: Pods, faults_api: Any, database_url: str
) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    await faults.inject("lock-pile-up", parameters={"partition": BUSY})
    await until(shop.late, "orders of the partition are late")
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("DELETE FROM shop.partitions WHERE partition = 7")
    await faults.call("DELETE", "faults")
    status, answer = await faults.call(
        "POST", "faults", {"name": "lock-pile-up", "parameters": {"partition": 7}}
    )
    assert (status, answer["error"]) == (409, "there is no partition 7")
    assert sessions(database_url, "psql") == []
    [entry] = await faults.inject("lock-pile-up", parameters={"partition": BUSY})
    await until(shop.late, "orders of the partition are late")
    faults.pod.process.kill()
    await faults.pod.process.wait()
    await until(shop.sells, "the server has ended the session")
    successor = await faults_api("faults-2")

    async def again() -> bool:
        return len(sessions(database_url, "psql")) == 1

    await until(again, "the successor holds it again")
    await successor.call("DELETE", f"faults/{entry['id']}")
    assert sessions(database_url, "psql") == []
    await until(shop.sells, "healed, the shop sells")


@pytest.mark.slow
async def test_without_free_connections_only_who_is_restarted_is_hurt(
    pods: Pods, faults_api: Any, database_url: str
) -> None:
    shop = await Shop(pods).open()
    faults = await faults_api()
    with psycopg.connect(database_url, autocommit=True) as database:

        def taken() -> int:
            row = database.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'batch-import'"
            ).fetchone()
            return 0 if row is None else int(row[0])

        async def full() -> bool:
            try:
                psycopg.connect(database_url).close()
            except psycopg.OperationalError as error:
                return "too many clients" in str(error)
            return False

        [entry] = await faults.inject("connections-exhausted")
        await until(full, "nobody else can connect")
        await until(shop.sells, "who is connected goes on")
        before = taken()
        await shop.worker.stop()

        async def more() -> bool:
            return taken() >= before + 2

        await until(more, "what the worker gave back is taken")
        shop.worker = await pods.start("lab.shop.worker", "worker-b")
        await until(shop.late, "orders are late")
        assert await shop.probes() == (200, 503)
        await faults.call("DELETE", f"faults/{entry['id']}")
        await until(shop.sells, "healed, the new worker connects")

        async def none() -> bool:
            return taken() == 0

        await until(none, "its connections are closed")
