"""Somebody hostile with the connection string of the role ops: nothing but looking and asking succeeds."""

from __future__ import annotations

import contextlib

import psycopg
import pytest
from database_world import World, module_database, postgres_server, world
from psycopg.conninfo import make_conninfo

from lab.shop.database import connect

__all__ = ["module_database", "postgres_server", "world"]
DENIED = (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)
"""The second says that a view of functions has nothing to write to."""

ATTACKS = """
    SELECT pg_terminate_backend({pid})
    SELECT pg_cancel_backend({pid})
    SELECT pg_terminate_backend(pg_backend_pid())
    DO $$ BEGIN PERFORM pg_terminate_backend({pid}); END $$
    SELECT * FROM shop.orders
    INSERT INTO shop.orders (partition, customer, amount_cents, authorization_code) VALUES (0, 'x', 1, 'x')
    UPDATE shop.orders SET confirmed_at = now()
    BEGIN; LOCK TABLE shop.orders IN ACCESS SHARE MODE
    BEGIN; LOCK TABLE ops.activity IN ACCESS EXCLUSIVE MODE
    BEGIN; LOCK TABLE ops.requests IN ACCESS SHARE MODE
    BEGIN; LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE
    SELECT * FROM chaos.directives
    SELECT * FROM ops.requests
    UPDATE ops.requests SET state = 'answered'
    DELETE FROM ops.activity
    SELECT * FROM ops.activity FOR UPDATE
    TRUNCATE ops.requests
    DROP VIEW ops.activity
    DROP SCHEMA ops CASCADE
    CREATE TABLE ops.mine (x int)
    CREATE TABLE public.mine (x int)
    CREATE TEMP TABLE mine (x int)
    CREATE SCHEMA mine
    CREATE FUNCTION ops.evil() RETURNS int LANGUAGE sql AS 'SELECT 1'
    CREATE OR REPLACE FUNCTION ops.sessions() RETURNS int LANGUAGE sql AS 'SELECT 1'
    ALTER FUNCTION ops.result(uuid) OWNER TO ops
    ALTER ROLE ops SUPERUSER
    ALTER ROLE ops CONNECTION LIMIT -1
    ALTER ROLE shop PASSWORD 'x'
    CREATE ROLE mine
    GRANT pg_signal_backend TO ops
    SET ROLE shop
    SET ROLE pg_signal_backend
    SET SESSION AUTHORIZATION shop
    SELECT pg_advisory_lock(7206154)
    SELECT pg_try_advisory_lock_shared(7206156)
    SELECT pg_advisory_xact_lock(1, 2)
    SELECT pg_advisory_unlock_all()
    SELECT lo_create(0)
    SELECT lo_from_bytea(0, 'x')
    SELECT lo_unlink(1)
    SELECT pg_logical_emit_message(false, 'x', 'y')
    SELECT pg_create_logical_replication_slot('x', 'pgoutput')
    SELECT pg_read_file('postgresql.conf')
    SELECT * FROM pg_authid
    SELECT pg_reload_conf()
    SELECT pg_rotate_logfile()
    SELECT pg_stat_reset()
    COPY (SELECT 1) TO '/tmp/x'
    COPY (SELECT 1) TO PROGRAM 'true'
    ALTER SYSTEM SET log_statement = 'all'
    SET log_statement = 'all'
    SET session_replication_role = replica
    LOAD 'vector'
    CREATE EXTENSION vector
    CHECKPOINT
    COMMENT ON SCHEMA ops IS 'x'
    CREATE PUBLICATION p FOR ALL TABLES
    CREATE EVENT TRIGGER t ON ddl_command_end EXECUTE FUNCTION ops.sessions()
"""


async def test_no_statement_writes_locks_or_ends_anything(world: World) -> None:
    world.control["mode"] = "live"
    connect(world.url, "shop").close()  # the shop's tables are there
    victim = await world.session("reporting")
    succeeded: list[str] = []
    async with await world.ops() as ops:
        for attack in filter(None, (line.strip() for line in ATTACKS.splitlines())):
            try:
                await ops.execute(attack.replace("{pid}", str(victim.info.backend_pid)).encode())
                succeeded.append(attack)
            except DENIED:
                await ops.rollback()
            except psycopg.Error as error:
                succeeded.append(f"{attack}: {error!r}")
    assert succeeded == []
    assert await world.lives(victim)
    assert world.records() == []


async def test_the_role_owns_nothing_and_is_a_member_of_nothing(world: World) -> None:
    async with await world.admin() as admin:
        for question in (
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = 'ops'::regrole",
            "SELECT relname FROM pg_class WHERE relowner = 'ops'::regrole",
            "SELECT nspname FROM pg_namespace WHERE has_schema_privilege('ops', oid, 'CREATE')",
            "SELECT nspname FROM pg_namespace WHERE has_schema_privilege('ops', oid, 'USAGE')"
            " AND nspname NOT IN ('ops', 'pg_catalog', 'information_schema')",
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"
            " AND has_table_privilege('ops', oid,"
            " 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER, MAINTAIN')"
            " AND relnamespace <> 'information_schema'::regnamespace AND oid <> 'pg_settings'::regclass",
            "SELECT oid::regprocedure::text FROM pg_proc WHERE prosecdef"
            " AND (proconfig IS NULL OR NOT 'search_path=pg_catalog, pg_temp' = ANY(proconfig))",
        ):
            cursor = await admin.execute(question)  # type: ignore[call-overload]
            assert await cursor.fetchall() == [], question


async def test_no_other_database_lets_it_in(world: World) -> None:
    for name in ("postgres", "template1"):
        url = make_conninfo(world.url, user="ops", password="of-ops", dbname=name)
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            await psycopg.AsyncConnection.connect(url)


async def test_it_has_few_connections(world: World) -> None:
    async with contextlib.AsyncExitStack() as open_ones:
        for _ in range(5):
            await open_ones.enter_async_context(await world.ops())
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            await world.ops()


async def test_texts_are_only_texts(world: World) -> None:
    world.control["mode"] = "live"
    victim, bystander = (
        await world.session("reporting'; DROP SCHEMA ops CASCADE; --"),
        await world.session("import"),
    )
    reason = "'); SELECT pg_terminate_backend(pid) FROM pg_stat_activity; -- \x01 ü \U0001f512" + "x" * 5000
    assert (await world.terminate(victim, reason, "X-Lab: 1\r\nY: 2"))["done"]
    assert await world.lives(bystander)
    (record,) = world.records()
    assert record["note"] == reason[:1000]
    assert record["name"] == "reporting'; DROP SCHEMA ops CASCADE; --/shop"


async def test_a_flood_of_notifications_holds_up_nobody(world: World) -> None:
    world.control["mode"] = "live"
    victim = await world.session("reporting")
    async with await world.ops() as ops:
        await ops.execute("SELECT count(pg_notify('ops_requests', n::text)) FROM generate_series(1, 20000) n")
        assert (await world.terminate(victim))["done"]


async def test_requests_cannot_pile_up(world: World) -> None:
    await world.stop()
    async with await world.ops() as ops:
        for _ in range(20):
            await ops.execute("SELECT ops.request('terminate', 1)")
        with pytest.raises(psycopg.errors.ConfigurationLimitExceeded, match="20 requests wait"):
            await ops.execute("SELECT ops.request('terminate', 1)")
        for question in (
            "SELECT ops.request('explode', 1)",
            "SELECT ops.request(NULL, 1)",
            "SELECT ops.request('cancel', NULL)",
            "SELECT * FROM ops.result(gen_random_uuid())",
        ):
            with pytest.raises(psycopg.Error):
                await ops.execute(question)
    await world.start()
    await world.until(lambda: _count(world), 20)
    assert {record["decision"] for record in world.records()} == {"refused"}


async def _count(world: World) -> int:
    return len(world.records())
