"""The Kubernetes API's own trouble, made on purpose: the stage that carries out the rows for the gateway.

It stands behind authentication, so a fault can be meant for one client, and before mode and kill switch are
read: a mutation that waits here meets them afterwards, as they are then. The gateway's own reads are not hit.
While the kill switch is engaged, mutations are not hit either: its refusal is the answer.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from lab.core.clock import Clock
from lab.core.fault_row import FaultRow
from lab.faults.api_fault import GATEWAY
from lab.faults.board import Board
from lab.gateway.control import Control
from lab.gateway.exchange import Answer, Exchange, Handler
from lab.gateway.faults.effects import Effect, effects
from lab.gateway.faults.hit import Hit, Scene
from lab.gateway.faults.past import Past
from lab.gateway.faults.watches import Watches
from lab.gateway.measures import Measures
from lab.gateway.target import Target
from lab.kube.client import KubeClient
from lab.kube.kubeconfig import Connection
from lab.kube.renaming import AS_IT_IS, Renaming

log = logging.getLogger("lab.gateway")
_SWEEP_SECONDS = 0.1
_AGAIN_SECONDS = 1.0


class Faults:
    """Call `run` to follow the rows; without it no fault ever bites."""

    def __init__(self, control: Control, clock: Clock, measures: Measures) -> None:
        self.board = Board(GATEWAY, clock)
        self._control = control
        self._clock = clock
        self.scene = Scene(self.board, control, clock, measures)
        self._past = Past(clock)
        self._watches = Watches(clock)
        self._effects = effects(self._past, clock)

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        rows, target = self.board.active(), exchange.target
        assert target is not None
        if not rows and target.info.verb != "watch":
            return await following(exchange)
        answer = await self._under_faults(rows, exchange, target, following)(exchange)
        if target.info.verb == "watch" and isinstance(answer.stream, aiohttp.ClientResponse):
            answer.stream = self._watches.open(exchange, answer.stream, rows, self.scene.hit)
        return answer

    def _under_faults(
        self, rows: list[FaultRow], exchange: Exchange, target: Target, following: Handler
    ) -> Handler:
        """The rest of the chain with the active faults around it."""
        if exchange.mutating and self._control.last.stopped:
            return following
        found = [(self._effects[row.fault], row) for row in rows if row.fault in self._effects]
        handler = following
        for effect, row in sorted(found, key=lambda pair: pair[0].place, reverse=True):
            if effect.concerns(target) and (hit := self.scene.hit(row, exchange)):
                handler = _around(handler, effect, hit)
        return handler

    async def run(self, connection: Connection, renaming: Renaming = AS_IT_IS) -> None:
        """Follow the rows for ever, and bring them to watches that are open."""
        async with KubeClient(connection, user_agent="lab-gateway", renaming=renaming) as kube:
            while True:
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self.board.follow(kube))
                        group.create_task(self._past.follow(kube, self.board))
                        group.create_task(self._sweep())
                except* Exception:  # the edge of a loop: one odd row must not end all other faults
                    log.exception("the faults are followed anew")
                await self._clock.sleep(_AGAIN_SECONDS)

    def sweep(self) -> None:
        """Bring the faults that are active now to all open watches."""
        self._watches.sweep(self.board.active(), self.scene.hit)

    async def _sweep(self) -> None:
        while True:
            self.sweep()
            await self._clock.sleep(_SWEEP_SECONDS)


def _around(handler: Handler, effect: Effect, hit: Hit) -> Handler:
    async def handle(exchange: Exchange) -> Answer:
        return await effect.act(hit, handler)

    return handle
