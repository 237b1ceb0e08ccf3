"""The SDK of automations against a real pager: approvals, dead letters, and answers that got lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import requests
from aiohttp import web
from pager_harness import PagerAt, alert, running_pager, serving

from lab.automation import sdk

ADMIN = {"Authorization": "Bearer s3cret"}


@pytest.fixture(autouse=True)
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "current-context: lab\nclusters: []\nusers: []\n"
        "contexts: [{name: other, context: {user: nobody}}, {name: lab, context: {user: automation}}]\n"
    )
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("LAB_HOUR_SECONDS", "6")


async def test_a_program_asks_and_waits_for_consent() -> None:
    async with running_pager(token="s3cret") as pager:
        me = sdk.Pager("cleaner", pager.base)
        ask = {"group": "apps", "restore_point": "manifest cache.yaml"}
        asked = await asyncio.to_thread(
            me.request_approval, "delete", "deployments", "cache", "it holds poisoned entries", **ask
        )
        assert (asked["requestedBy"], asked["namespace"], asked["status"]) == (
            "automation",
            "shop",
            "pending",
        )
        waiting = asyncio.create_task(asyncio.to_thread(me.wait_for_approval, asked["id"]))
        path = f"/api/v1/approvals/{asked['id']}/approve"
        given = await pager.call("POST", path, {"by": "ann"}, headers=ADMIN)
        assert await waiting == given
        still = await asyncio.to_thread(
            me.request_approval, "delete", "deployments", "other", "it holds poisoned entries"
        )
        assert (await asyncio.to_thread(me.wait_for_approval, still["id"], 0.25))["status"] == "pending"


async def test_a_program_gives_work_up_and_takes_it_back(pager: PagerAt) -> None:
    me = sdk.Pager("cleaner", pager.base)
    letter = await asyncio.to_thread(me.dead_letter, "delete bucket x", {"bucket": "x"})
    assert await asyncio.to_thread(me.replayed) == []
    await pager.call("POST", f"/api/v1/dead-letters/{letter['id']}/replay", {"by": "ann"})
    (back,) = await asyncio.to_thread(me.replayed)
    assert back["payload"] == {"bucket": "x"}
    await asyncio.to_thread(me.done, letter["id"])
    assert (await pager.call("GET", f"/api/v1/dead-letters/{letter['id']}"))["status"] == "done"


@asynccontextmanager
async def losing_answers(pager: PagerAt, count: int) -> AsyncIterator[str]:
    """A way to the pager on which the first answers get lost: done, and the connection breaks."""
    left = count

    async def forward(request: web.Request) -> web.Response:
        nonlocal left
        headers = {k: v for k, v in request.headers.items() if k in ("Content-Type", "Idempotency-Key")}
        async with (
            aiohttp.ClientSession() as session,
            session.post(pager.base + request.path, data=await request.read(), headers=headers) as answer,
        ):
            text, code = await answer.text(), answer.status
        if left > 0:
            left -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text=text, status=code, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", forward)
    async with serving(app) as base:
        yield base


async def test_a_lost_answer_posts_nothing_twice(pager: PagerAt) -> None:
    await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
    (incident,) = await pager.incidents()
    async with losing_answers(pager, 2) as way:
        me = sdk.Pager("cleaner", way)
        await asyncio.to_thread(me.status, "on it", incident["id"])
        assert len((await pager.call("GET", "/api/v1/status"))["posts"]) == 1
    async with losing_answers(pager, 2) as way:
        me = sdk.Pager("cleaner", way)
        await asyncio.to_thread(me.escalate, incident["id"], "help", "it hangs")
        assert len((await pager.call("GET", "/api/v1/escalations"))["escalations"]) == 1
    async with losing_answers(pager, 3) as way:
        me = sdk.Pager("cleaner", way)
        with pytest.raises(requests.ConnectionError):
            await asyncio.to_thread(me.status, "again")
