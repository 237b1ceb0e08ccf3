"""Rows for other parts of the lab, through a real API server: written, followed, ended, and made to agree."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from shop_pods import until
from test_faults_in_cluster import kube
from test_faults_injector import HandClock

from lab.core.clock import SystemClock, TimeScale
from lab.core.fault import Family, FaultSpec, FaultTarget, JournalEntry
from lab.core.fault_row import DIRECTIVES, FaultRow
from lab.faults.board import Board
from lab.faults.medium import Situation
from lab.faults.rows import ROWS, RowMedium
from lab.kube.client import KubeClient

__all__ = ["kube"]
pytestmark = pytest.mark.safety
NAMESPACE, NAME = DIRECTIVES
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Lag:
    """A fault of the gateway, for these tests."""

    spec = FaultSpec("lag", "Answers late.", family=Family.API)
    medium = ROWS
    part = "gateway"

    def row(self, parameters: Mapping[str, Any], scale: TimeScale) -> Mapping[str, Any]:
        return {"seconds": scale.real(minutes=parameters["minutes"])}


def medium(kube: KubeClient, clock: Any) -> RowMedium:
    return RowMedium(kube, {"lag": Lag()}, seed=3, scale=TimeScale(60), clock=clock)


def entry(identity: str, until_: datetime | None = None) -> JournalEntry:
    target = FaultTarget("Service", NAMESPACE, "gateway")
    made = JournalEntry(identity, "lag", target, False, {"minutes": 2}, NOW)
    return made.applied(NOW, None if until_ is None else (until_ - NOW).total_seconds())


async def rows(kube: KubeClient) -> dict[str, str]:
    return dict((await kube.get("configmaps", NAME, NAMESPACE)).get("data") or {})


async def test_a_row_appears_and_disappears_by_its_identity(kube: KubeClient) -> None:
    rows_of = medium(kube, HandClock())
    [target] = await rows_of.choose(Lag(), {}, Situation([], random.Random(1)))
    assert target == FaultTarget("Service", NAMESPACE, "gateway")
    first, second = entry("lag-0001"), entry("lag-0002", NOW + timedelta(seconds=5))
    await rows_of.apply([first, second])
    await rows_of.apply([first])
    found = FaultRow.from_json((await rows(kube))["lag-0002"])
    assert (found.parameters, found.expires_at) == ({"seconds": 2.0}, NOW + timedelta(seconds=5))
    await rows_of.undo([first])
    await rows_of.undo([first, entry("lag-0099")])
    assert (await rows(kube)).keys() == {"lag-0002"}


async def test_rows_agree_with_the_journal_again(kube: KubeClient) -> None:
    clock = HandClock()
    rows_of = medium(kube, clock)
    await rows_of.apply([entry("lag-0001")])
    change = {"lag-0001": None, "lag-0007": entry("lag-0007").id}
    await kube.patch("configmaps", NAME, {"data": change}, NAMESPACE)
    await rows_of.agree([entry("lag-0001")])
    assert (await rows(kube)).keys() == {"lag-0001"}


async def test_a_board_follows_the_rows_of_its_part_and_ends_them_by_itself(kube: KubeClient) -> None:
    clock = HandClock()
    board, other = Board("gateway", clock), Board("pager", clock)
    following = [asyncio.create_task(b.follow(kube)) for b in (board, other)]
    try:
        await medium(kube, SystemClock()).apply(
            [entry("lag-0001", NOW + timedelta(seconds=5)), entry("lag-0002")]
        )

        async def both() -> bool:
            return [row.id for row in board.active()] == ["lag-0001", "lag-0002"]

        await until(both, "the board has both rows")
        assert other.active() == []
        clock.seconds = 5.0
        assert [row.id for row in board.active()] == ["lag-0002"]
        await kube.delete("configmaps", NAME, NAMESPACE)

        async def none() -> bool:
            return board.active() == []

        await until(none, "the board is empty")
    finally:
        for task in following:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", json.dumps({"id": "x"})])
def test_what_is_no_row_is_skipped(text: str) -> None:
    board = Board("gateway", HandClock())
    good = FaultRow("lag-0001", "lag", "gateway", {}, None, 1)
    board.put({"bad": text, "lag-0001": good.as_json()})
    assert board.active() == [good]
