"""The dead-letter queue: given up, given back, done or thrown away; and notifications that died."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pager_harness import PagerAt, VirtualClock, alert, eventually, new_book, running_pager, serving

from lab.core.clock import TimeScale
from lab.pager.store import WrongState
from lab.pager.values import LetterStatus

WORK = {"by": "bot", "summary": "restart worker-3", "payload": {"pod": "worker-3", "tries": [1, 2]}}
FAST = TimeScale(1.2)
"""A lab hour in 1.2 s: what cannot be delivered is given up soon."""


async def give_up(pager: PagerAt, *, expect: int = 201, **changes: Any) -> Any:
    return await pager.call("POST", "/api/v1/dead-letters", WORK | changes, expect=expect)


async def change(pager: PagerAt, letter: Any, what: str, body: Any, *, expect: int = 200) -> Any:
    return await pager.call("POST", f"/api/v1/dead-letters/{letter['id']}/{what}", body, expect=expect)


async def letters(pager: PagerAt, query: str = "") -> list[dict[str, Any]]:
    return list((await pager.call("GET", f"/api/v1/dead-letters{query}"))["deadLetters"])


async def test_work_that_was_given_up_comes_back_and_is_done(pager: PagerAt) -> None:
    await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
    (incident,) = await pager.incidents()
    letter = await give_up(pager, incident=incident["id"])
    assert (letter["status"], letter["attempts"], letter["incident"]) == ("open", 1, incident["id"])
    assert letter["payload"] == WORK["payload"]
    assert "toil_dead_letters 1.0" in await pager.call("GET", "/metrics")
    assert await give_up(pager, incident=incident["id"], expect=200) == letter
    assert await letters(pager, "?status=replayed&by=bot") == []
    replayed = await change(pager, letter, "replay", {"by": "ann"})
    assert await change(pager, letter, "replay", {"by": "ann"}) == replayed
    assert await letters(pager, "?status=replayed&by=bot") == [replayed]
    assert await letters(pager, "?by=other") == []
    answer = await change(pager, letter, "done", {"by": "ann"}, expect=409)
    assert "only its owner" in answer["error"]
    done = await change(pager, letter, "done", {"by": "bot"})
    assert (done["status"], done["changedBy"]) == ("done", "bot")
    assert await pager.call("GET", f"/api/v1/dead-letters/{letter['id']}") == done
    assert "toil_dead_letters 0.0" in await pager.call("GET", "/metrics")
    await change(pager, letter, "replay", {"by": "ann"}, expect=409)
    kinds = [e["data"]["status"] for e in await history(pager) if e["kind"] == "dead-letter"]
    assert kinds == ["open", "replayed", "done"]


async def history(pager: PagerAt) -> list[dict[str, Any]]:
    return list((await pager.call("GET", "/api/v1/history"))["entries"])


async def test_work_that_fails_again_is_the_same_letter(pager: PagerAt) -> None:
    letter = await give_up(pager)
    await change(pager, letter, "replay", {"by": "ann"})
    again = await give_up(pager)
    assert (again["id"], again["status"], again["attempts"]) == (letter["id"], "open", 2)
    other = await give_up(pager, payload={"pod": "worker-4"})
    assert other["id"] != letter["id"]


async def test_a_letter_is_discarded_with_a_reason(pager: PagerAt) -> None:
    letter = await give_up(pager)
    await change(pager, letter, "discard", {"by": "ann"}, expect=400)
    gone = await change(pager, letter, "discard", {"by": "ann", "reason": "the pod is gone"})
    assert (gone["status"], gone["note"]) == ("discarded", "the pod is gone")
    await change(pager, letter, "discard", {"by": "ann", "reason": "again"}, expect=409)
    await change(pager, letter, "done", {"by": "bot"}, expect=409)


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"by": ""}, 400, "by is missing"),
        ({"summary": None}, 400, "summary is missing"),
        ({"payload": [1]}, 400, "payload must be an object"),
        ({"payload": {"x": "y" * 20_000}}, 400, "16384 is the limit"),
        ({"incident": "inc-nowhere"}, 404, "inc-nowhere"),
    ],
)
async def test_a_bad_letter_is_refused(pager: PagerAt, changes: Any, code: int, says: str) -> None:
    assert says in (await give_up(pager, expect=code, **changes))["error"]
    await pager.call("GET", "/api/v1/dead-letters/dead-none", expect=404)


def test_a_replay_that_nobody_takes_opens_the_letter_again(tmp_path: Path) -> None:
    clock = VirtualClock()
    book = new_book(clock, tmp_path / "j")
    letter = book.dead_letters.add("bot", "restart", {"pod": "x"})
    book.dead_letters.replay(letter.id, "ann")
    clock.advance(14.9)
    book.tick()
    assert book.dead_letters.get(letter.id).status is LetterStatus.REPLAYED
    clock.advance(0.1)
    book.tick()
    assert book.dead_letters.get(letter.id).status is LetterStatus.OPEN
    assert "not taken by bot in time" in book.store.state.history[-1].text
    again = new_book(clock, tmp_path / "j")
    assert again.dead_letters.get(letter.id) == book.dead_letters.get(letter.id)


def test_the_queue_has_an_end() -> None:
    book = new_book(VirtualClock())
    for number in range(500):
        book.dead_letters.add("bot", f"work {number}", {})
    with pytest.raises(WrongState, match="500 dead letters wait"):
        book.dead_letters.add("bot", "one more", {})


# Notifications


class Receiver:
    """Answers with one code until told otherwise."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.told: list[str] = []

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.told.append(f"{body['status']} {self.code}")
        return web.Response(status=self.code)

    async def heard(self, what: str) -> bool:
        return what in self.told


@asynccontextmanager
async def receiving(code: int) -> AsyncIterator[tuple[Receiver, str]]:
    receiver = Receiver(code)
    app = web.Application()
    app.router.add_post("/hook", receiver.receive)
    async with serving(app) as base:
        yield receiver, f"{base}/hook"


async def has_status(pager: PagerAt, status: str) -> list[dict[str, Any]]:
    return await letters(pager, f"?status={status}")


async def test_a_refused_notification_dies_and_a_replay_delivers_it(pager: PagerAt) -> None:
    async with receiving(404) as (receiver, url):
        await pager.call("POST", "/api/v1/webhooks", {"name": "bot", "url": url}, expect=201)
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
        (letter,) = await eventually(lambda: has_status(pager, "open"))
        (incident,) = await pager.incidents()
        assert (letter["by"], letter["webhook"], letter["incident"]) == ("pager", "bot", incident["id"])
        assert "firing was not delivered: HTTP 404" in letter["summary"]
        assert letter["payload"] == {"receiver": "bot", "url": url, "status": "firing"}
        # Refused again: the same letter, one attempt more.
        await change(pager, letter, "replay", {"by": "ann"})
        (again,) = await eventually(lambda: has_status(pager, "open"))
        assert (again["id"], again["attempts"]) == (letter["id"], 2)
        receiver.code = 200
        await change(pager, letter, "replay", {"by": "ann"})
        (done,) = await eventually(lambda: has_status(pager, "done"))
        assert (done["id"], done["changedBy"]) == (letter["id"], "bot")
        assert await receiver.heard("firing 200")


async def test_what_cannot_be_delivered_for_a_lab_hour_dies() -> None:
    async with running_pager(scale=FAST) as pager, receiving(503) as (receiver, url):
        await pager.call("POST", "/api/v1/webhooks", {"name": "bot", "url": url}, expect=201)
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
        (letter,) = await eventually(lambda: has_status(pager, "open"))
        assert "HTTP 503" in letter["summary"]
        assert len(receiver.told) > 2
        receiver.code = 200
        await change(pager, letter, "replay", {"by": "ann"})
        await eventually(lambda: has_status(pager, "done"))


async def test_a_letter_of_a_receiver_that_is_gone_cannot_be_replayed(pager: PagerAt) -> None:
    async with receiving(404) as (_, url):
        await pager.call("POST", "/api/v1/webhooks", {"name": "bot", "url": url}, expect=201)
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
        (letter,) = await eventually(lambda: has_status(pager, "open"))
        await pager.call("DELETE", "/api/v1/webhooks/bot")
        answer = await change(pager, letter, "replay", {"by": "ann"}, expect=409)
        assert "bot is not registered" in answer["error"]
        await change(pager, letter, "discard", {"by": "ann", "reason": "gone"})
