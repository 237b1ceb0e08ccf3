"""What a pager remembers after a restart, a crash in the middle of a line, and a disk that is full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from pager_harness import alert, eventually, running_pager

from lab.pager.journal import Journal, JournalError


async def test_a_restarted_pager_remembers(tmp_path: Path) -> None:
    async with running_pager(tmp_path) as pager:
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
        (before,) = await pager.incidents()
        await pager.call("POST", f"/api/v1/incidents/{before['id']}/acknowledge", {"by": "ann"})
        await pager.call("POST", f"/api/v1/incidents/{before['id']}/notes", {"by": "ann", "text": "hm"})
        await pager.call("POST", "/api/v1/status", {"by": "ann", "text": "on it"}, expect=201)
        (before,) = await pager.incidents()
        history = await pager.call("GET", "/api/v1/history")
    async with running_pager(tmp_path) as pager:
        (after,) = await pager.incidents("open")
        assert after == before
        assert await pager.call("GET", "/api/v1/history") == history
        assert [p["text"] for p in (await pager.call("GET", "/api/v1/status"))["posts"]] == ["on it"]
        assert "toil_incidents_open 1.0" in await pager.call("GET", "/metrics")
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3") | {"startsAt": before["startsAt"]}])
        assert len(await pager.incidents()) == 1


async def test_a_killed_pager_loses_nothing_it_answered_for(tmp_path: Path) -> None:
    environment = os.environ | {"POD_IP": "127.0.7.7", "PAGER_DATA": str(tmp_path), "LAB_HOUR_SECONDS": "60"}
    base = "http://127.0.7.7:8080"

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "lab.pager"], env=environment, stdout=subprocess.DEVNULL
        )

    async def answers() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{base}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    first = start()
    try:
        await eventually(answers)
        async with aiohttp.ClientSession() as session:
            for number in range(20):
                async with session.post(
                    f"{base}/api/v1/status", json={"by": "a", "text": str(number)}
                ) as done:
                    assert done.status == 201
        first.kill()
        first.wait()
        second = start()
        try:
            await eventually(answers)
            async with aiohttp.ClientSession() as session, session.get(f"{base}/api/v1/status") as answer:
                posts = (await answer.json())["posts"]
            assert [post["text"] for post in posts] == [str(number) for number in range(20)]
            second.send_signal(signal.SIGTERM)
            assert second.wait(timeout=10) == 0
        finally:
            second.kill()
            second.wait()
    finally:
        first.kill()
        first.wait()


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"kind":"a"}\n{"kind":"b"')
    journal = Journal(path)
    assert [record["kind"] for record in journal.load()] == ["a"]
    journal.append([{"kind": "c"}])
    journal.close()
    assert [record["kind"] for record in Journal(path).load()] == ["a", "c"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there")
def test_a_full_disk_is_said_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.symlink_to("/dev/full")
    with pytest.raises(JournalError, match="cannot write"):
        Journal(path).append([{"kind": "a"}])


async def test_a_request_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    async with running_pager(tmp_path) as pager:
        journal = tmp_path / "pager.jsonl"
        journal.unlink()
        journal.mkdir()
        answer = await pager.call("POST", "/api/v1/status", {"by": "a", "text": "b"}, expect=507)
        assert "cannot write" in answer["error"]
        assert (await pager.call("GET", "/api/v1/status"))["posts"] == []


async def test_the_journal_does_not_grow_without_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append([{"kind": "a", "n": n} for n in range(5000)])
    assert journal.records == 5000
    journal.rewrite([{"kind": "a", "n": 1}])
    journal.append([{"kind": "a", "n": 2}])
    journal.close()
    assert [record["n"] for record in Journal(tmp_path / "j").load()] == [1, 2]
    assert journal.records == 2
