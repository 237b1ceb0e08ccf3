"""The audit log alone: numbering, recovery after a crash, paging; and the admin side."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from lab.core.audit import AuditRecord, Decision, Mode
from lab.core.clock import rfc3339
from lab.errors import NotReadyError
from lab.gateway.admin import admin_app
from lab.gateway.audit import AuditLog


def entry(**more: Any) -> dict[str, Any]:
    return {
        "time": "2026-01-01T00:00:00.000000Z", "actor": "a", "mode": Mode.SHADOW, "verb": "get", "group": "",
        "resource": "pods", "subresource": "", "namespace": "shop", "name": "p", "decision": Decision.ALLOWED,
        "code": 200, "latency_ms": 1.0, "mutating": False,
    } | more  # fmt: skip


def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    for expected in (1, 2, 3):
        book = AuditLog(tmp_path / "new" / "audit.jsonl")
        assert book.append(**entry()).seq == expected
        book.close()


@pytest.mark.parametrize("torn", [b'{"seq": 3, "time"', b"\x00\x00", b"x"])
def test_a_torn_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "audit.jsonl"
    book = AuditLog(path)
    book.append(**entry())
    book.append(**entry(name="kept"))
    book.close()
    with path.open("ab") as file:
        file.write(torn)
    book = AuditLog(path)
    assert book.last == 2
    book.append(**entry(name="next"))
    assert [(r["seq"], r["name"]) for r in book.read()] == [(1, "p"), (2, "kept"), (3, "next")]
    book.close()


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    book = AuditLog(tmp_path / "audit.jsonl")
    written = book.append(**entry(diff=({"op": "remove", "path": ""},), before={"kind": "Pod"}, reason="ö\n"))
    assert AuditRecord.from_dict(book.read()[0]) == written
    book.close()


def test_pages(tmp_path: Path) -> None:
    book = AuditLog(tmp_path / "audit.jsonl")
    for number in range(10):
        book.append(**entry(decision=Decision.SHADOWED if number % 3 == 0 else Decision.ALLOWED))
    assert [r["seq"] for r in book.read(4, 3)] == [5, 6, 7]
    assert [r["seq"] for r in book.read(8, 100)] == [9, 10]
    assert book.read(10) == book.read(99) == book.read(0, 0) == []
    assert [r["seq"] for r in book.intents(1, 2)] == [4, 7]
    book.close()


def test_pages_of_a_long_log_before_and_after_a_restart(tmp_path: Path) -> None:
    book = AuditLog(tmp_path / "audit.jsonl")
    for number in range(300):
        book.append(**entry(name="n" * (number % 7)))
    again = AuditLog(tmp_path / "audit.jsonl")
    for log in (book, again):
        assert log.last == 300
        for after in (0, 1, 63, 64, 65, 127, 128, 200, 299, 300):
            for limit in (1, 2, 63, 64, 65, 100, 500):
                found = [r["seq"] for r in log.read(after, limit)]
                assert found == list(range(after + 1, min(after + limit, 300) + 1)), (after, limit)
        log.close()


def test_recent_mutations_have_their_age(tmp_path: Path) -> None:
    book = AuditLog(tmp_path / "audit.jsonl")
    now = datetime(2026, 1, 1, 1, tzinfo=UTC)
    for seconds in range(3000, 0, -1):
        at = rfc3339(now - timedelta(seconds=seconds))
        book.append(**entry(time=at, mutating=seconds % 2 == 0, name=str(seconds)))
    found = list(book.recent(now, 1500))
    assert [r["name"] for _, r in found] == [str(s) for s in range(1498, 0, -2)]
    assert (found[0][0], found[-1][0]) == (1498, 2)
    assert list(book.recent(now, 0.5)) == []
    assert len(list(book.recent(now, 10_000))) == 1500
    book.close()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotReadyError, match="audit log"):
        AuditLog(tmp_path / "file" / "audit.jsonl")


@pytest.mark.parametrize("token", ["admin", ""])
async def test_the_admin_side_wants_its_token(tmp_path: Path, token: str) -> None:
    book = AuditLog(tmp_path / "audit.jsonl")
    for _ in range(3):
        book.append(**entry())
    runner = web.AppRunner(admin_app(book, token))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession(base) as client:
            for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}):
                assert (await client.get("/audit", headers=given)).status == 401
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.get("/audit?after=1&limit=1", headers=headers)
            if not token:
                assert answer.status == 401
                return
            page = await answer.json()
            assert ([r["seq"] for r in page["records"]], page["last"]) == ([2], 3)
            assert (await (await client.get("/intents", headers=headers)).json())["records"] == []
            for wrong in ("after=-1", "limit=many", "after=9999999999999999999"):
                assert (await client.get(f"/audit?{wrong}", headers=headers)).status == 400
    finally:
        await runner.cleanup()
        book.close()
