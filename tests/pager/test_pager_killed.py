"""The real pager, killed by SIGKILL while it notifies: the receiver is the one who strikes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pager_harness import PagerAt, alert, eventually, serving

TOKEN = {"Authorization": "Bearer s3cret"}
ASKED = {
    "by": "bot",
    "verb": "delete",
    "group": "",
    "resource": "pods",
    "subresource": "",
    "namespace": "shop",
}


class Killer:
    """Answers with the next code, or kills the pager with the notification in its hands (None); then 200."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)
        self.heard: list[tuple[str, str, str]] = []
        self.process: asyncio.subprocess.Process

    async def receive(self, request: web.Request) -> web.Response:
        (told,) = (await request.json())["alerts"]
        self.heard.append((told["status"], told["fingerprint"], told["startsAt"]))
        answer = self.answers.pop(0) if self.answers else 200
        if answer is None:
            self.process.kill()
            await self.process.wait()
        return web.Response(status=answer or 200)


@asynccontextmanager
async def pager_process(folder: Path, killer: Killer) -> AsyncIterator[PagerAt]:
    """`python -m lab.pager`, ready; its journal is all that it has."""
    address = f"127.0.8.{1 + os.getpid() % 250}"
    settings = {
        "POD_IP": address,
        "PAGER_DATA": str(folder),
        "LAB_HOUR_SECONDS": "60",
        "LAB_ADMIN_TOKEN": "s3cret",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lab.pager"), env=os.environ | settings, stdout=asyncio.subprocess.DEVNULL
    )
    killer.process = process
    async with aiohttp.ClientSession() as session:
        pager = PagerAt(f"http://{address}:8080", session)

        async def answers() -> bool:
            if process.returncode is not None:
                return True
            try:
                async with session.get(f"{pager.base}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        try:
            await eventually(answers, 30)
            yield pager
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def dead(killer: Killer) -> None:
    await asyncio.wait_for(killer.process.wait(), 30)


async def letters(pager: PagerAt) -> list[dict[str, Any]]:
    return list((await pager.call("GET", "/api/v1/dead-letters"))["deadLetters"])


@pytest.mark.slow
async def test_a_notification_is_told_until_it_is_taken_whenever_the_pager_is_killed(tmp_path: Path) -> None:
    killer, sent = Killer(None, 404, None, 200), alert(ends_in=900, partition="3")
    app = web.Application()
    app.router.add_post("/hook", killer.receive)
    async with serving(app) as base:
        async with pager_process(tmp_path, killer) as pager:
            hook = {"name": "bot", "url": f"{base}/hook"}
            await pager.call("POST", "/api/v1/webhooks", hook, expect=201)
            with suppress(aiohttp.ClientError):  # it may be killed before it answers
                await pager.call("POST", "/api/v2/alerts", [sent])
            await dead(killer)
        async with pager_process(tmp_path, killer) as pager:
            await pager.call("POST", "/api/v2/alerts", [sent])
            (letter,) = await eventually(lambda: letters(pager), 30)
            assert letter["status"] == "open"
            replay = f"/api/v1/dead-letters/{letter['id']}/replay"
            key = {"Idempotency-Key": "replay"}
            with suppress(aiohttp.ClientError):
                await pager.call("POST", replay, {"by": "ann"}, headers=key)
            await dead(killer)
        async with pager_process(tmp_path, killer) as pager:
            await pager.call("POST", replay, {"by": "ann"}, headers=key)

            async def done() -> bool:
                return [one["status"] for one in await letters(pager)] == ["done"]

            await eventually(done, 30)
            assert len(await pager.incidents()) == 1
    assert len(killer.heard) == 4, "twice for a pager that died, once refused, once taken"
    assert len(set(killer.heard)) == 1, "the receiver can tell: status, fingerprint and startsAt are the same"


@pytest.mark.slow
async def test_an_approval_is_used_once_however_often_the_pager_dies(tmp_path: Path) -> None:
    killer = Killer()
    used = []
    async with pager_process(tmp_path, killer) as pager:
        asked = ASKED | {"name": "worker-1", "reason": "it hangs", "restorePoint": "backup"}
        made = await pager.call(
            "POST", "/api/v1/approvals", asked, expect=201, headers={"Idempotency-Key": "a"}
        )
        path = f"/api/v1/approvals/{made['id']}"
        await pager.call("POST", f"{path}/approve", {"by": "ann", "forLabMinutes": 600}, headers=TOKEN)
    for _ in range(4):
        async with pager_process(tmp_path, killer) as pager:
            asking = [
                asyncio.create_task(pager.any("POST", f"{path}/use", {"by": "gw"}, TOKEN)) for _ in range(8)
            ]
            await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            killer.process.kill()
            for answer in await asyncio.gather(*asking, return_exceptions=True):
                if isinstance(answer, tuple) and answer[0] == 200:
                    used.append(answer)
                elif isinstance(answer, BaseException):
                    assert isinstance(answer, aiohttp.ClientError), answer
    assert len(used) <= 1
    async with pager_process(tmp_path, killer) as pager:
        assert (await pager.call("GET", path))["status"] == "used"
        history = (await pager.call("GET", "/api/v1/history"))["entries"]
    assert sum(" used for " in line["text"] for line in history) == 1
