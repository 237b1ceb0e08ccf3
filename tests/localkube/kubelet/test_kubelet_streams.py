"""Logs and exec."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kubelet_bench import Bench, python

from lab.core.clock import SystemClock
from lab.kube.status import StatusError
from lab.localkube.kubelet.logs import ContainerLog, LogQuery, stream, tail
from lab.localkube.protocols import Streams

COUNT = python("import sys\nfor n in range(5): print('line', n)\nprint('end', end='')")
PAUSE = python("import signal; print('up', flush=True); signal.pause()")


async def test_tail_timestamps_and_limits(bench: Bench) -> None:
    bench.pod("count", COUNT, restartPolicy="Never")
    await bench.until_phase("count", "Succeeded")
    assert await bench.log("count") == "line 0\nline 1\nline 2\nline 3\nline 4\nend\n"
    assert await bench.log("count", tail_lines=2) == "line 4\nend\n"
    assert await bench.log("count", tail_lines=0) == ""
    assert await bench.log("count", limit_bytes=9) == "line 0\nli"
    stamp, _, rest = (await bench.log("count", timestamps=True, tail_lines=1)).partition(" ")
    assert stamp.endswith("Z")
    assert rest == "end\n"
    assert await bench.log("count", since_seconds=3600) != ""


async def test_follow_gives_what_comes_and_ends_with_the_container(bench: Bench) -> None:
    code = "import sys\nprint('first', flush=True)\nsys.stdin.read()\nimport signal\nsignal.pause()"
    bench.pod("follow", python(code))
    await bench.until_ready("follow")
    parts: list[bytes] = []

    async def follow() -> None:
        async for part in bench.kubelet.logs("default", "follow", "", follow=True):
            parts.append(part)

    task = asyncio.create_task(follow())
    await bench.until(lambda: b"first\n" in parts, what="the first line")
    log = bench.kubelet._pod("default", "follow").containers["main"].log
    assert log is not None
    log.write(b"second\n")
    await bench.until(lambda: b"second\n" in parts, what="the second line")
    bench.delete("follow")
    await asyncio.wait_for(task, 10)


async def test_the_previous_run(bench: Bench) -> None:
    bench.pod("again", python("import os, sys; print('run of', os.getpid()); sys.exit(1)"))
    with pytest.raises(StatusError, match=r"previous terminated container|waiting to start"):
        await bench.log("again", previous=True)
    await bench.until(lambda: bench.status("again")["restartCount"] >= 1, what="a restart")
    assert (await bench.log("again", previous=True)).startswith("run of ")


async def test_what_cannot_be_read_is_said(bench: Bench) -> None:
    bench.pod("two", PAUSE, PAUSE)
    bench.pod("none", {"image": "acme/x"})
    await bench.until_ready("two")
    with pytest.raises(StatusError, match=r"choose one of: \[main c1\]"):
        await bench.log("two")
    with pytest.raises(StatusError, match="container nope is not valid for pod two"):
        await bench.log("two", "nope")
    with pytest.raises(StatusError, match='container "main" in pod "none" is waiting to start'):
        await bench.log("none")
    with pytest.raises(StatusError, match='"gone" not found'):
        await bench.log("gone")


async def test_exec_shares_environment_and_directory(bench: Bench) -> None:
    bench.pod("x", {**PAUSE, "env": [{"name": "V", "value": "here"}]})
    await bench.until_ready("x")
    assert await bench.exec("x", "sh", "-c", "echo $V; exit 4") == (4, "here\n")
    code, output = await bench.exec("x", "python", "-c", "import os; print(os.environ['V'])")
    assert (code, output) == (0, "here\n")
    code, output = await bench.exec("x", "no-such-program")
    assert code == 127
    assert "executable file not found" in output


async def test_exec_reads_standard_input(bench: Bench) -> None:
    bench.pod("x", PAUSE)
    await bench.until_ready("x")
    said = bytearray()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one\n"
        yield b"two\n"

    async def take(data: bytes) -> None:
        said.extend(data)

    code = await bench.kubelet.exec("default", "x", "main", ["cat"], Streams(chunks(), take, take))
    assert (code, bytes(said)) == (0, b"one\ntwo\n")


async def test_an_exec_ends_with_its_container(bench: Bench) -> None:
    bench.pod("x", PAUSE)
    await bench.until_ready("x")
    running = asyncio.create_task(bench.exec("x", "python", "-c", "import signal; signal.pause()"))
    worker = bench.kubelet._pod("default", "x").containers["main"]
    await bench.until(lambda: worker.executed, what="the command runs")
    bench.delete("x")
    code, _ = await asyncio.wait_for(running, 10)
    assert code == 137


async def test_a_full_log_is_rotated_and_followers_do_not_notice(tmp_path: Path) -> None:
    clock = SystemClock()
    log = ContainerLog(tmp_path / "0.log", clock, limit=2000)
    lines = [f"line {n}" for n in range(60)]
    seen: list[bytes] = []

    async def follow() -> None:
        async for part in stream(log, LogQuery(follow=True)):
            seen.append(part)

    task = asyncio.create_task(follow())
    for line in lines:
        log.write(line.encode() + b"\n")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    log.close()
    await asyncio.wait_for(task, 5)
    assert b"".join(seen).decode().split("\n")[:-1] == lines
    assert (tmp_path / "0.log.1").exists()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 4100
    kept = b"".join([part async for part in stream(log, LogQuery())]).decode()
    assert kept.endswith("line 59\n")


async def test_a_very_long_line_and_one_that_is_drawn_over_are_lines(tmp_path: Path) -> None:
    clock = SystemClock()
    log = ContainerLog(tmp_path / "0.log", clock)
    drawn, long = b" 10% \r 20% \r100%\n", b"x" * 40_000 + b"\n"
    log.write(drawn)
    for start in range(0, len(long), 7_000):
        log.write(long[start : start + 7_000])
    log.write(b"end\n")
    log.close()

    async def read(**query: Any) -> bytes:
        return b"".join([part async for part in stream(log.path, LogQuery(**query))])

    assert await read(since=clock.now() + timedelta(hours=1)) == b""
    assert await read() == await read(since=clock.now() - timedelta(hours=1)) == drawn + long + b"end\n"
    stamped = (await read(timestamps=True)).split(b"\n")[:-1]
    assert [line.partition(b" ")[2] for line in stamped] == [drawn[:-1], long[:-1], b"end"]
    assert tail(log, 2, 100_000) == (long + b"end").decode()


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log = ContainerLog(tmp_path / "0.log", SystemClock())
    log.write(b"x" * 40_000)
    log.close()
    lengths = [len(line.partition(b" ")[2]) for line in (tmp_path / "0.log").read_bytes().splitlines()]
    assert sum(lengths) == 40_000
    assert max(lengths) <= 16 * 1024
