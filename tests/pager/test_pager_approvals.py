"""Approvals: asked by a program, decided by a named human, good once and not for long."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pager_harness import PagerAt, VirtualClock, alert, new_book, running_pager
from prometheus_client import generate_latest

from lab.core.approval import Approval, ApprovalStatus, Deed
from lab.errors import UsageError
from lab.gateway.approvals import Approvals
from lab.kube.request import RequestInfo
from lab.pager.book import Book
from lab.pager.store import WrongState

ADMIN = {"Authorization": "Bearer s3cret"}
DEED = Deed("delete", "apps", "deployments", "", "shop", "cache")
ASKED = {
    "by": "automation",
    "verb": "delete",
    "group": "apps",
    "resource": "deployments",
    "subresource": "",
    "namespace": "shop",
    "name": "cache",
    "reason": "the cache holds poisoned entries",
    "restorePoint": "manifest clusters/base/shop/cache.yaml",
}
KEYS = {
    *("id", "status", "requestedBy", "requestedAt", "verb", "group", "resource", "subresource", "namespace"),
    *("name", "reason", "restorePoint", "incident", "decidedBy", "decidedAt", "note", "expiresAt", "usedAt"),
}


async def ask(pager: PagerAt, *, expect: int = 201, **changes: Any) -> Any:
    return await pager.call("POST", "/api/v1/approvals", ASKED | changes, expect=expect)


async def decide(pager: PagerAt, identity: str, what: str, body: Any, *, expect: int = 200) -> Any:
    path = f"/api/v1/approvals/{identity}/{what}"
    return await pager.call("POST", path, body, expect=expect, headers=ADMIN)


async def test_an_approval_is_asked_given_and_used_once() -> None:
    async with running_pager(token="s3cret") as pager:
        await pager.call("POST", "/api/v2/alerts", [alert(partition="3")])
        (incident,) = await pager.incidents()
        asked = await ask(pager, incident=incident["id"])
        assert set(asked) == KEYS
        assert (asked["status"], asked["requestedBy"], asked["incident"]) == (
            "pending",
            "automation",
            incident["id"],
        )
        assert {key: asked[key] for key in ASKED if key != "by"} == {
            k: v for k, v in ASKED.items() if k != "by"
        }
        given = await decide(
            pager, asked["id"], "approve", {"by": "ann", "note": "go on", "forLabMinutes": 2}
        )
        assert (given["status"], given["decidedBy"], given["note"]) == ("approved", "ann", "go on")
        used = await decide(pager, asked["id"], "use", {"by": "gateway"})
        assert used["status"] == "used"
        assert used["usedAt"]
        again = await decide(pager, asked["id"], "use", {"by": "gateway"}, expect=409)
        assert "is used, and only an approved one" in again["error"]
        assert await pager.call("GET", f"/api/v1/approvals/{asked['id']}") == used
        listed = await pager.call("GET", "/api/v1/approvals?status=used")
        assert listed == {"approvals": [used]}
        assert (await pager.call("GET", "/api/v1/approvals?status=pending"))["approvals"] == []
        entries = (await pager.call("GET", "/api/v1/history"))["entries"]
        told = [(e["data"]["status"], e["by"]) for e in entries if e["kind"] == "approval"]
        assert told == [("pending", "automation"), ("approved", "ann"), ("used", "gateway")]
        metrics = await pager.call("GET", "/metrics")
        for line in ('{result="requested"} 1.0', '{result="approved"} 1.0', '{result="used"} 1.0'):
            assert f"toil_approvals_total{line}" in metrics
        assert 'toil_approvals_total{result="refused"} 0.0' in metrics


async def test_deciding_needs_the_admin_token_and_somebody_else() -> None:
    async with running_pager(token="s3cret") as pager:
        asked = await ask(pager)
        for what, body in (
            ("approve", {"by": "a"}),
            ("refuse", {"by": "a", "reason": "b"}),
            ("use", {"by": "a"}),
        ):
            path = f"/api/v1/approvals/{asked['id']}/{what}"
            refused = await pager.call("POST", path, body, expect=401)
            assert "admin token" in refused["error"]
            await pager.call("POST", path, body, expect=401, headers={"Authorization": "Bearer wrong"})
        for name in ("automation", " Automation ", "human:automation"):
            answer = await decide(pager, asked["id"], "approve", {"by": name}, expect=409)
            assert "somebody else has to decide" in answer["error"]
        await decide(pager, asked["id"], "approve", {"by": "human:"}, expect=400)
        await decide(pager, asked["id"], "refuse", {"by": "ann"}, expect=400)
        refused = await decide(pager, asked["id"], "refuse", {"by": "ann", "reason": "not today"})
        assert (refused["status"], refused["note"]) == ("refused", "not today")
        answer = await decide(pager, asked["id"], "approve", {"by": "bob"}, expect=409)
        assert "refused by ann already" in answer["error"]
        await decide(pager, asked["id"], "use", {"by": "gateway"}, expect=409)


async def test_the_gateway_finds_an_approval_and_spends_it_once() -> None:
    path = "/apis/apps/v1/namespaces/shop/deployments/cache"
    wanted = RequestInfo(path, "delete", True, "apps", "v1", "deployments", "shop", "cache")
    other = replace(wanted, name="other")
    async with running_pager(token="s3cret") as pager:
        gateway = Approvals(pager.base, "s3cret")
        try:
            now = datetime.now(UTC)
            identity = (await ask(pager))["id"]
            assert await gateway.find("automation", wanted, now) is None
            await decide(pager, identity, "approve", {"by": "ann"})
            for actor, info in (("automation", other), ("somebody-else", wanted)):
                assert await gateway.find(actor, info, now) is None
            found = await gateway.find("automation", wanted, now)
            assert found is not None
            assert found.id == identity
            assert await gateway.use(found)
            assert not await gateway.use(found)
            assert await gateway.find("automation", wanted, now) is None
        finally:
            await gateway.close()


async def test_without_a_configured_token_nobody_decides(pager: PagerAt) -> None:
    asked = await ask(pager)
    await pager.call("POST", f"/api/v1/approvals/{asked['id']}/approve", {"by": "ann"}, expect=401)


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"verb": ""}, 400, "verb is missing"),
        ({"resource": None}, 400, "resource is missing"),
        ({"reason": ""}, 400, "reason is missing"),
        ({"name": 7}, 400, "name must be a string"),
        ({"name": "x" * 300}, 400, "300 characters"),
        ({"incident": "inc-nowhere"}, 404, "inc-nowhere"),
        ({"decideWithinLabMinutes": 0}, 400, "above 0"),
        ({"decideWithinLabMinutes": 1e9}, 400, "at most 1440"),
    ],
)
async def test_a_bad_request_is_refused(pager: PagerAt, changes: Any, code: int, says: str) -> None:
    assert says in (await ask(pager, expect=code, **changes))["error"]


async def test_asking_the_same_again_is_the_same_request(pager: PagerAt) -> None:
    first = await ask(pager)
    assert await ask(pager, expect=200) == first
    other = await ask(pager, name="other")
    assert other["id"] != first["id"]


@pytest.mark.parametrize("minutes", [0, -1, 99999, "ten", True])
async def test_how_long_an_approval_holds_is_bounded(minutes: Any) -> None:
    async with running_pager(token="s3cret") as pager:
        asked = await ask(pager)
        await decide(pager, asked["id"], "approve", {"by": "ann", "forLabMinutes": minutes}, expect=400)
        assert (await pager.call("GET", f"/api/v1/approvals/{asked['id']}"))["status"] == "pending"


# Time, in a book whose clock the test moves: a lab minute is a second.


def asked(book: Book, by: str = "bot", within: float | None = None) -> Approval:
    return book.approvals.request(by, DEED, "because it must be", "git", "", within)


@pytest.mark.parametrize(("within", "seconds"), [(None, 15.0), (60.0, 60.0)])
def test_a_request_that_nobody_decides_expires(within: float | None, seconds: float) -> None:
    clock = VirtualClock()
    book = new_book(clock)
    identity = asked(book, within=within).id
    clock.advance(seconds - 0.1)
    assert book.approvals.get(identity).status is ApprovalStatus.PENDING
    clock.advance(0.1)
    with pytest.raises(WrongState, match="expired already"):
        book.approvals.approve(identity, "ann")
    assert book.approvals.get(identity).status is ApprovalStatus.EXPIRED
    assert "not decided in time" in book.store.state.history[-1].text


@pytest.mark.parametrize(("hold", "seconds"), [(None, 10.0), (3.0, 3.0)])
def test_an_approval_that_nobody_uses_expires(hold: float | None, seconds: float) -> None:
    clock = VirtualClock()
    book = new_book(clock)
    identity = asked(book).id
    clock.advance(10)
    book.approvals.approve(identity, "ann", for_lab_minutes=hold)
    clock.advance(seconds - 0.1)
    assert book.approvals.get(identity).status is ApprovalStatus.APPROVED
    clock.advance(0.1)
    with pytest.raises(WrongState, match="is expired"):
        book.approvals.use(identity, "gateway")


def test_only_so_many_requests_wait() -> None:
    book = new_book(VirtualClock())
    for number in range(100):
        asked(book, f"bot-{number}")
    with pytest.raises(WrongState, match="100 approvals wait"):
        asked(book, "one-more")
    metrics = generate_latest(book.store.meters.registry).decode()
    assert "toil_approvals_pending 100.0" in metrics


def test_a_restart_remembers_what_was_decided_and_used(tmp_path: Path) -> None:
    clock = VirtualClock()
    book = new_book(clock, tmp_path / "j")
    used, refused, pending = (asked(book, name).id for name in ("a", "b", "c"))
    book.approvals.approve(used, "ann")
    book.approvals.use(used, "gateway")
    book.approvals.refuse(refused, "ann", "no")
    again = new_book(clock, tmp_path / "j")
    assert again.approvals.all() == book.approvals.all()
    assert [again.approvals.get(one).status for one in (used, refused, pending)] == [
        "used",
        "refused",
        "pending",
    ]
    with pytest.raises(UsageError):
        again.approvals.use(used, "gateway")
