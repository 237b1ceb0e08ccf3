"""One fault on one request: whether it hits, and how long it may hold the request."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.core.clock import Clock
from lab.core.fault_row import FaultRow
from lab.core.seed import stream
from lab.faults.board import Board
from lab.gateway.control import Control
from lab.gateway.exchange import Exchange
from lab.gateway.measures import Measures
from lab.gateway.target import Target
from lab.metrics.catalogue import GATEWAY_FAULTS
from lab.metrics.metric import counter

_LOOK_SECONDS = 0.05
"""How often a request that is held looks whether it may go."""


class Scene:
    """What all hits share. The chance of a request comes from the row's seed and the request's number.

    Requests are numbered for each row and client from 0, those alone that the row is about; a gateway that is
    restarted begins anew.
    """

    def __init__(self, board: Board, control: Control, clock: Clock, measures: Measures) -> None:
        self.board = board
        self.control = control
        self.clock = clock
        self.hits = counter(GATEWAY_FAULTS, measures.registry)
        self._numbers: Counter[tuple[str, str]] = Counter()

    def hit(self, row: FaultRow, exchange: Exchange) -> Hit | None:
        """The fault on this request, or None when the request is not meant or has luck."""
        if not _meant(row, exchange):
            return None
        number = self._numbers[row.id, exchange.actor]
        self._numbers[row.id, exchange.actor] += 1
        chance = stream(row.seed, "request", str(number))
        if chance.random() >= row.parameters.get("probability", 1.0):
            return None
        return Hit(row, exchange, chance, self)


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault that bites a request. `chance` is this request's own."""

    row: FaultRow
    exchange: Exchange
    chance: random.Random
    scene: Scene

    def setting(self, name: str) -> Any:
        """A parameter of the fault."""
        return self.row.parameters[name]

    def mark(self) -> None:
        """Let the audit record and the metrics say that the fault was applied."""
        exchange, name = self.exchange, self.row.fault
        exchange.fault = f"{exchange.fault},{name}" if exchange.fault else name
        self.scene.hits.labels(name).inc()

    def answer_instead(self) -> None:
        """Mark, and say in the record that the fault gave the answer."""
        self.mark()
        self.exchange.reason = f"the fault {self.row.id} answered instead of the API server"

    @property
    def over(self) -> bool:
        """Has the fault been undone, or its lease ended?"""
        return all(row.id != self.row.id for row in self.scene.board.active())

    @property
    def left(self) -> bool:
        """Has the client given up?"""
        transport = self.exchange.request.transport
        return transport is None or transport.is_closing()

    @property
    def stopped(self) -> bool:
        """Is it a mutation that the kill switch stops?"""
        return self.exchange.mutating and self.scene.control.last.stopped

    async def hold(self, seconds: float, *, carried_out: bool = False) -> None:
        """Wait so many real seconds, but not beyond the fault's end, nor for a client that has left, nor
        with a mutation that the kill switch stops, unless it was `carried_out` already."""
        clock = self.scene.clock
        until = clock.monotonic() + seconds
        while (rest := until - clock.monotonic()) > 0:
            if self.over or self.left or (self.stopped and not carried_out):
                return
            await clock.sleep(min(rest, _LOOK_SECONDS))


def _meant(row: FaultRow, exchange: Exchange) -> bool:
    target, asked = exchange.target, row.parameters
    if target is None or asked.get("client") not in (None, "", exchange.actor):
        return False
    verbs, resources = asked.get("verbs"), asked.get("resources")
    return (not verbs or target.info.verb in verbs) and (not resources or _names(target, resources))


def _names(target: Target, resources: Iterable[str]) -> bool:
    """Is the target's resource among these? `pods` stands for its subresources too, in any group."""
    info = target.info
    for text in resources:
        qualified, _, subresource = text.partition("/")
        resource, _, group = qualified.partition(".")
        if resource == info.resource and group in ("", info.group) and subresource in ("", info.subresource):
            return True
    return False
