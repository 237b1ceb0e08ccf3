"""A gateway that is killed at any step: each request is recorded once, and the record tells what happened."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from database_world import World, module_database, postgres_server, world

__all__ = ["module_database", "postgres_server", "world"]
STEPS = ("take:after", "carry_out:into", "carry_out:after", "append:after", "answer:after")
"""Each leaves the request in another state."""

OTHERS = ("look:before", "look:after", "carry_out:before", "append:before", "answer:before")


@contextlib.asynccontextmanager
async def killed_desks(world: World, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    program = Path(__file__).with_name("crash_desk.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), world.url, str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().strip()


@pytest.mark.parametrize("steps", [STEPS, pytest.param(OTHERS, marks=pytest.mark.slow)])
async def test_killed_at_any_step_it_is_recorded_once_and_truly(
    world: World, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    world.control["mode"] = "live"
    async with killed_desks(world, tmp_path) as desks:
        assert desks.stdin is not None
        for count, step in enumerate(steps, 1):
            await world.stop()
            desks.stdin.write(f"{step}\n".encode())
            assert await said(desks) == "serving"
            victim = await world.session(f"victim-{count}")
            asking = asyncio.create_task(world.terminate(victim, step))
            assert await said(desks) == "killed", step
            await world.start()
            answer = await asking
            ended = not await world.lives(victim)
            records = world.records()
            assert [record["note"] for record in records] == list(steps[:count])
            assert [record["seq"] for record in records] == list(range(1, count + 1))
            acted = records[-1]["decision"] == "allowed"
            assert (acted, answer["done"]) == (ended, ended), (step, records[-1], answer)
            if step != "carry_out:into":
                assert ended is (
                    step.partition(":")[0] in ("append", "answer") or step == "carry_out:after"
                ), step
            if ended:
                assert records[-1]["before"]["application_name"] == f"victim-{count}"


async def test_the_database_may_go_away_and_come_back(world: World) -> None:
    """All sessions of the gateway are ended, as when the server starts again."""
    world.control["mode"] = "live"
    victim, other = await world.session("reporting"), await world.session("import")
    async with await world.admin() as admin:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gateway'"
        )
    assert (await world.terminate(victim))["done"]
    assert (await world.terminate(other))["done"]
    assert [record["decision"] for record in world.records()] == ["allowed", "allowed"]
