"""Idempotency-Key: a retry of a client that lost the answer does nothing twice, over a restart too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pager_harness import PagerAt, alert, running_pager
from test_pager_approvals import ASKED

from lab.pager.journal import Journal
from lab.pager.values import PastAnswer

KEY = "Idempotency-Key"


async def keyed(pager: PagerAt, key: str, path: str, body: Any, **more: Any) -> Any:
    return await pager.call("POST", path, body, headers={KEY: key}, **more)


async def posts(pager: PagerAt) -> list[str]:
    return [post["text"] for post in (await pager.call("GET", "/api/v1/status"))["posts"]]


async def test_the_same_key_has_the_same_answer_and_one_effect(pager: PagerAt) -> None:
    body = {"by": "bot", "text": "hello"}
    first = await keyed(pager, "k1", "/api/v1/status", body, expect=201)
    assert await keyed(pager, "k1", "/api/v1/status", body, expect=201) == first
    await keyed(pager, "k2", "/api/v1/status", body, expect=201)
    assert await posts(pager) == ["hello", "hello"]
    async with aiohttp.ClientSession() as session:
        headers = {KEY: "k1"}
        async with session.post(f"{pager.base}/api/v1/status", json=body, headers=headers) as answer:
            assert answer.headers["Idempotency-Replayed"] == "true"


async def test_a_key_belongs_to_one_request(pager: PagerAt) -> None:
    await keyed(pager, "k", "/api/v1/status", {"by": "bot", "text": "a"}, expect=201)
    answer = await keyed(pager, "k", "/api/v1/status", {"by": "bot", "text": "b"}, expect=422)
    assert "used for another request" in answer["error"]
    await keyed(pager, "k", "/api/v1/escalations", {"by": "bot", "summary": "a"}, expect=422)
    assert await posts(pager) == ["a"]


@pytest.mark.parametrize("key", ["", "x" * 256, "\u00fc"])
async def test_a_bad_key_is_refused(pager: PagerAt, key: str) -> None:
    async with aiohttp.ClientSession() as session:
        body = {"by": "bot", "text": "a"}
        async with session.post(f"{pager.base}/api/v1/status", json=body, headers={KEY: key}) as answer:
            assert answer.status == 400
    assert await posts(pager) == []


async def test_what_was_refused_is_tried_anew(pager: PagerAt) -> None:
    body = {"by": "bot"}
    path = "/api/v1/incidents/{}/acknowledge"
    await keyed(pager, "k", path.format("inc-x"), body, expect=404)
    await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
    (incident,) = await pager.incidents()
    await keyed(pager, "k", path.format(incident["id"]), body)


async def test_retries_at_once_have_one_effect(pager: PagerAt) -> None:
    body = {"by": "bot", "summary": "help"}
    answers = await asyncio.gather(
        *(keyed(pager, "k", "/api/v1/escalations", body, expect=201) for _ in range(20))
    )
    assert len({json.dumps(answer) for answer in answers}) == 1
    assert len((await pager.call("GET", "/api/v1/escalations"))["escalations"]) == 1


async def test_the_answer_survives_a_restart_and_the_state_has_moved_on(tmp_path: Path) -> None:
    admin = {"Authorization": "Bearer s3cret"}
    async with running_pager(tmp_path, token="s3cret") as pager:
        made = await keyed(pager, "ask", "/api/v1/approvals", ASKED, expect=201)
        path = f"/api/v1/approvals/{made['id']}"
        await pager.call("POST", f"{path}/approve", {"by": "ann"}, headers=admin)
        used = await pager.call("POST", f"{path}/use", {"by": "gw"}, headers=admin | {KEY: "use"})
    async with running_pager(tmp_path, token="s3cret") as pager:
        assert await keyed(pager, "ask", "/api/v1/approvals", ASKED, expect=201) == made
        again = await pager.call("POST", f"{path}/use", {"by": "gw"}, headers=admin | {KEY: "use"})
        assert again == used
        await pager.call("POST", f"{path}/use", {"by": "gw"}, headers=admin, expect=409)
        await pager.call("POST", f"{path}/use", {"by": "gw"}, headers={KEY: "use"}, expect=401)


async def test_the_change_and_its_answer_are_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change whose answer came later could be without it after a crash, and a retry would do it twice."""
    written: list[list[str]] = []
    append = Journal.append

    def noted(journal: Journal, records: list[Any]) -> None:
        written.append([record["kind"] for record in records])
        append(journal, records)

    monkeypatch.setattr(Journal, "append", noted)
    async with running_pager(tmp_path) as pager:
        await keyed(pager, "k", "/api/v1/status", {"by": "bot", "text": "once"}, expect=201)
    assert written == [["status", "history", "answer"]]


async def test_old_answers_are_forgotten(tmp_path: Path) -> None:
    from pager_harness import VirtualClock, new_book

    book = new_book(VirtualClock(), tmp_path / "j")
    for number in range(600):
        past = PastAnswer(f"k{number}", "d", 200, "{}")
        book.store.commit([{"kind": "answer", "value": past.as_dict()}])
    assert len(book.store.state.answers) == 500
    assert "k0" not in book.store.state.answers
    assert "k599" in book.store.state.answers


async def test_alerts_need_no_key(pager: PagerAt) -> None:
    sent = alert(partition="3")
    for _ in range(3):
        await pager.call("POST", "/api/v2/alerts", [sent])
    await keyed(pager, "k", "/api/v2/alerts", [sent])
    await keyed(pager, "k", "/api/v2/alerts", [sent])
    assert len(await pager.incidents()) == 1
