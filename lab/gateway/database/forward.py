"""The innermost stage: rehearse, or carry out, a guarded operation that was decided on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from lab.core.audit import Decision, Mode
from lab.gateway.control import Control
from lab.gateway.database.backend import Backend
from lab.gateway.database.call import Call
from lab.gateway.exchange import Answer, Exchange
from lab.gateway.passage import Passages
from lab.gateway.safeguards import Safeguards
from lab.gateway.standing import stand
from lab.kube.status import StatusError, service_unavailable

Draft = Callable[[Exchange, int], dict[str, Any]]
_UNKNOWN = "the database broke off as it was told; the session may have been ended or not"


class Forward:
    """Behind the same control, kill switch, budgets and risk classes as the Kubernetes API. The answer's body
    is what the waiting client is told.

    draft: the fields of an exchange's audit record.
    """

    def __init__(
        self, backend: Backend, control: Control, passages: Passages, safeguards: Safeguards, draft: Draft
    ) -> None:
        self._backend = backend
        self._control = control
        self._passages = passages
        self._safeguards = safeguards
        self._draft = draft

    async def operate(self, call: Call, exchange: Exchange) -> Answer:
        """Do what was decided. Raises StatusError."""
        exchange.dry_run = call.dry_run
        if exchange.decision is Decision.SHADOWED or call.dry_run:
            return await self._rehearse(call, exchange)
        return await self._act(call, exchange)

    async def _rehearse(self, call: Call, exchange: Exchange) -> Answer:
        is_intent = exchange.decision is Decision.SHADOWED and not call.dry_run
        self._safeguards.classify(exchange)
        exchange.diff = call.diff()
        exchange.dry_run = True
        if is_intent:
            await self._safeguards.report(exchange, exchange.before)
            return Answer(
                200, body=f"{_why_shadow(exchange)}: it was recorded, and nothing was done".encode()
            )
        exchange.decision = Decision.ALLOWED
        return Answer(200, body=b"rehearsed: nothing was done")

    async def _act(self, call: Call, exchange: Exchange) -> Answer:
        place = await self._safeguards.clear(exchange, exchange.before, call.diff())
        try:
            stand(exchange, self._control.last)
            self._passages.send(exchange)
            exchange.diff = call.diff()
            done = await self._backend.carry_out(call, self._draft(exchange, 200))
        except psycopg.OperationalError as error:
            raise service_unavailable(_UNKNOWN) from error
        except BaseException:
            exchange.diff = ()
            place.give_back()
            raise
        if done is None:
            exchange.diff = ()
            place.give_back()
            raise StatusError(404, "NotFound", "the session was gone already; nothing was done")
        self._safeguards.settle(exchange, place, exchange.before)
        return Answer(200, body=told(call, done).encode())


def told(call: Call, done: bool) -> str:
    """What an operation that was carried out came to, in words."""
    if call.verb == "cancel":
        return "the session was told to end its statement" if done else "the signal could not be sent"
    return "the session was ended" if done else "the session was told to end, and has not done so yet"


def _why_shadow(exchange: Exchange) -> str:
    if exchange.control.mode is Mode.CANARY:
        return f"outside the canary ({exchange.control.canary_percent:g} % of targets)"
    return "shadow mode"
