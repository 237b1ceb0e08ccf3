"""Guarded operations on a real PostgreSQL, decided by the gateway's own chain."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import psycopg
import pytest
from database_world import World, module_database, postgres_server, world

from lab.gateway.membership import bucket

__all__ = ["module_database", "postgres_server", "world"]


async def test_live_ends_the_session_and_records_it(world: World) -> None:
    world.control["mode"] = "live"
    victim = await world.session("reporting")
    answer = await world.terminate(victim, "it blocks everybody", "inc-7")
    assert answer == {"decision": "allowed", "done": True, "message": "the session was ended"}
    assert not await world.lives(victim)
    (record,) = world.records()
    assert (record["actor"], record["mode"], record["verb"]) == ("automation", "live", "delete")
    assert (record["group"], record["resource"], record["namespace"]) == ("database", "backends", world.name)
    assert (record["name"], record["decision"], record["code"]) == ("reporting/shop", "allowed", 200)
    assert (record["risk"], record["incident"], record["note"]) == (
        "disruptive",
        "inc-7",
        "it blocks everybody",
    )
    assert record["diff"] == [{"op": "remove", "path": f"/{victim.info.backend_pid}"}]
    assert record["before"]["pid"] == victim.info.backend_pid
    assert record["before"]["application_name"] == "reporting"


async def test_cancel_ends_the_statement_only(world: World) -> None:
    world.control["mode"] = "live"
    victim = await world.session("reporting")
    sleeping = asyncio.create_task(victim.execute("SELECT pg_sleep(30)"))
    await world.until(lambda: world.state_of(victim), "active")
    assert (await world.cancel(victim))["done"]
    with pytest.raises(psycopg.errors.QueryCanceled):
        await sleeping
    assert await world.lives(victim)
    assert world.records()[0]["verb"] == "update"


@pytest.mark.parametrize(
    ("control", "decision"),
    [
        ({"mode": "shadow"}, "shadowed"),
        ({"mode": "canary", "canaryPercent": "0"}, "shadowed"),
        ({"mode": "live", "killSwitch": "on", "by": "ann"}, "refused"),
        ({"mode": "nonsense"}, "refused"),
        ({"mode": "live", "budgets": '{"enforce": true, "actionsPerLabHour": 0}'}, "refused"),
        ({"mode": "live", "budgets": '{"enforce": true, "kinds": ["Pod"]}'}, "refused"),
        (
            {
                "mode": "live",
                "risk": '{"enforce": true, "rules": [{"group": "database", "class": "irreversible"}]}',
            },
            "refused",
        ),
    ],
)
async def test_nothing_ends_where_it_may_not(world: World, control: dict[str, str], decision: str) -> None:
    """Whatever is asked, and however."""
    world.control |= control
    victim = await world.session("reporting")
    for operation, dry_run in itertools.product(("terminate_backend", "cancel_backend"), (False, True)):
        answer = await world.call(operation, victim.info.backend_pid, "", "", dry_run)
        if not dry_run:
            assert answer["decision"] == decision
        assert answer["done"] is False
        assert answer["message"]
    async with await world.ops() as ops:
        for verb in ("terminate", "cancel"):
            await ops.execute("SELECT ops.request(%s, %s)", (verb, victim.info.backend_pid))
    await world.until(lambda: _count(world), 6)
    assert await world.lives(victim)
    wanted = [
        record["decision"] for record in world.records() if not record["dry_run"] or decision == "shadowed"
    ]
    assert wanted.count(decision) >= 4


async def test_in_canary_the_name_decides_and_not_the_pid(world: World) -> None:
    names = [f"client-{number}" for number in range(4)]
    buckets = [bucket("automation", "database", "backends", world.name, f"{name}/shop") for name in names]
    middle = sum(sorted(buckets)[1:3]) / 2
    world.control |= {"mode": "canary", "canaryPercent": str(middle)}
    for name, place in zip(names, buckets, strict=True):
        for _ in range(2):
            victim = await world.session(name)
            answer = await world.terminate(victim)
            assert answer["done"] is (place < middle)
            assert await world.lives(victim) is not answer["done"]
    assert [record["canary"] for record in world.records()].count("member") == 4


async def test_a_rehearsal_is_no_intent_and_covers_an_irreversible_class(world: World) -> None:
    world.control |= {"mode": "live"}
    victim = await world.session("reporting")
    answer = await world.terminate(victim, dry_run=True)
    assert (answer["decision"], answer["done"]) == ("allowed", False)
    assert await world.lives(victim)
    rules = '{"enforce": true, "rules": [{"group": "database", "class": "irreversible"}]}'
    world.control["risk"] = rules
    refused = await world.terminate(victim)
    assert "lacks" in refused["message"]
    assert "dry run" not in refused["message"].partition("lacks")[2].partition("approval")[0]
    assert [record["risk"] for record in world.records()] == ["disruptive", "irreversible"]


async def test_budgets_and_cooldown_go_by_the_name(world: World) -> None:
    world.control |= {"mode": "live", "budgets": '{"enforce": true, "cooldownLabMinutes": 5}'}
    first, second, other = [await world.session(name) for name in ("reporting", "reporting", "import")]
    assert (await world.terminate(first))["done"]
    refused = await world.terminate(second)
    assert "cooldownLabMinutes" in refused["message"]
    assert await world.lives(second)
    assert (await world.terminate(other))["done"]
    assert [record["code"] for record in world.records()] == [200, 429, 200]


async def test_who_may_not_be_ended(world: World) -> None:
    world.control["mode"] = "live"
    async with await world.admin() as admin:
        cursor = await admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'gateway'"
            " UNION ALL SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
        )
        pids = [row[0] for row in await cursor.fetchall()]
    assert len(pids) == 3
    for pid in (*pids, 1, -1, 2_000_000_000):
        answer = await world.call("terminate_backend", pid)
        assert (answer["decision"], answer["done"]) == ("refused", False)
    assert [record["code"] for record in world.records()] == [403, 403, 404, 404, 404, 404]


@pytest.mark.slow
async def test_without_a_gateway_nothing_happens_and_later_it_is_recorded(world: World) -> None:
    """A client that keeps the row of such a request locked holds up nobody."""
    world.control["mode"] = "live"
    victim = await world.session("reporting")
    await world.stop()
    async with await world.ops() as hostile:
        cursor = await hostile.execute("SELECT ops.request('cancel', %s)", (victim.info.backend_pid,))
        held = await cursor.fetchone()
        answer = await world.terminate(victim)
        assert answer["decision"] == "refused"
        assert "did not answer in time" in answer["message"]
        async with hostile.transaction():
            cursor = await hostile.execute("SELECT decision FROM ops.result(%s)", held)
            assert await cursor.fetchone() == ("refused",)
            await world.start()
            await world.until(lambda: _count(world), 1)
            other = await world.session("import")
            assert (await world.terminate(other))["done"]
    await world.until(lambda: _count(world), 3)
    assert [record["decision"] for record in world.records()] == ["refused", "allowed", "refused"]
    assert await world.lives(victim)


async def _count(world: World) -> int:
    return len(world.records())


async def test_a_request_that_is_rolled_back_has_never_been(world: World) -> None:
    world.control["mode"] = "live"
    victim = await world.session("reporting")
    async with await world.ops() as ops:
        pid = victim.info.backend_pid
        with pytest.raises(psycopg.errors.InvalidTransactionTermination):
            async with ops.transaction():
                await ops.execute("CALL ops.terminate_backend(%s)", (pid,))
        for script in (
            "BEGIN; CALL ops.terminate_backend({0}); ROLLBACK",
            "SELECT 1; CALL ops.terminate_backend({0})",
        ):
            with pytest.raises(psycopg.errors.InvalidTransactionTermination):
                await ops.execute(script.format(pid))  # type: ignore[call-overload]
            await ops.rollback()
        with contextlib.suppress(psycopg.Rollback):
            async with ops.transaction():
                await ops.execute("SELECT ops.request('terminate', %s)", (pid,))
                raise psycopg.Rollback
        await ops.execute("SELECT ops.request('cancel', %s)", (pid,))
    await world.until(lambda: _count(world), 1)
    assert world.records()[0]["verb"] == "update"
    assert await world.lives(victim)


async def test_the_kill_switch_reaches_a_request_that_waits(world: World) -> None:
    """It is asked for in live mode, and waits for the control state as the kill switch is engaged."""
    world.control["mode"] = "live"
    victim = await world.session("reporting")
    world.hold.clear()
    waiting = asyncio.create_task(world.terminate(victim))
    await world.reading.wait()
    world.control["killSwitch"] = "on"
    world.hold.set()
    assert (await waiting)["decision"] == "refused"
    assert await world.lives(victim)


async def test_every_request_is_recorded_once_and_in_order(world: World) -> None:
    world.control["mode"] = "live"
    victims = [await world.session(f"client-{number}") for number in range(4)]
    answers = await asyncio.gather(
        *(world.terminate(victim, f"number {n}") for n, victim in enumerate(victims))
    )
    assert all(answer["done"] for answer in answers)
    records = world.records()
    assert [record["seq"] for record in records] == [1, 2, 3, 4]
    assert sorted(record["note"] for record in records) == [f"number {n}" for n in range(4)]


async def test_the_tree_shows_who_blocks_whom(world: World) -> None:
    async with await world.admin() as admin:
        await admin.execute("CREATE TABLE stock (id int); INSERT INTO stock VALUES (1)")
    blocker = await world.session("reporting", autocommit=False)
    await blocker.execute("LOCK TABLE stock IN ACCESS EXCLUSIVE MODE")
    waiting = [await world.session(f"waiter-{number}") for number in range(3)]
    tasks = [asyncio.create_task(each.execute("UPDATE stock SET id = id")) for each in waiting]

    async def tree() -> list[tuple[Any, ...]]:
        return await world.seen("SELECT root, pid, application_name, blocks, state FROM ops.blocking_tree")

    async def size() -> int:
        return len(await tree())

    await world.until(size, 4)
    root = blocker.info.backend_pid
    assert (root, root, "reporting", 3, "idle in transaction") in await tree()
    assert {row[0] for row in await tree()} == {root}
    world.control["mode"] = "live"
    (age,) = (await world.seen(f"SELECT transaction_seconds FROM ops.activity WHERE pid = {root}"))[0]
    assert age > 0
    await world.terminate(blocker)
    await asyncio.gather(*tasks)
    assert world.records()[0]["before"]["blocks"] == sorted(each.info.backend_pid for each in waiting)
    assert await tree() == []
