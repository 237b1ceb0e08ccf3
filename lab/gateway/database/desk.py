"""The desk where requests of the database are taken, decided and answered, each exactly once.

A request is in the audit log exactly once, whenever the gateway is killed:

    dies before it has taken it      it waits; after three seconds it is refused, and recorded as that
    between taking and acting        nothing was done; the successor records that
    between acting and recording     the successor appends the record that was written down with the deed
    between recording and answering  the successor finds the record, and answers from it
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, cast

import orjson
import psycopg
from aiohttp import web

from lab.core.audit import AuditRecord, Decision, Mode
from lab.core.clock import Clock, rfc3339
from lab.errors import LabError
from lab.gateway.audit import AuditLog
from lab.gateway.control import Control
from lab.gateway.database.backend import Backend, Left
from lab.gateway.database.call import Call, mark_of
from lab.gateway.database.entrance import Entrance
from lab.gateway.database.forward import Forward, told
from lab.gateway.exchange import Answer, Exchange, Stage, compose
from lab.gateway.ledger import Ledger
from lab.gateway.passage import Passages
from lab.gateway.safeguards import Safeguards
from lab.gateway.settings import GatewaySettings
from lab.gateway.stages import Audit

log = logging.getLogger("lab.gateway.database")
_RETRY_SECONDS = 0.5
_AT_ONCE = 8
_FORGET_EVERY = 60
_MARGIN_SECONDS = 60.0
_DIED = "the gateway ended before it had decided about this request, so nothing was done"
_RECOVERED = "recorded by the gateway's successor"


class Desk:
    """Runs the gateway's own stages for every row of ops.requests.

    stages: the gateway's own audit, control and decision, in this order.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        stages: tuple[Audit, Stage, Stage],
        control: Control,
        passages: Passages,
        safeguards: Safeguards,
        book: AuditLog,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._backend = Backend(settings.database_url, settings.ops_password)
        self._actor = settings.database_actor
        self._stages = stages
        self._control = control
        self._book = book
        self._ledger = ledger
        self._clock = clock
        self._forward = Forward(self._backend, control, passages, safeguards, stages[0].fields)
        self._busy: set[asyncio.Task[None]] = set()
        self._doubt = False
        self._told = ""

    async def run(self) -> None:
        """Serve until cancelled. While the database is away it is tried again twice a second."""
        try:
            while True:
                try:
                    await self._backend.open()
                    self._say("the guarded operations of the database are served")
                    self._doubt = False
                    await self._recover()
                    await self._serve()
                except (psycopg.Error, OSError, LabError) as error:
                    why = (str(error).strip() or type(error).__name__).splitlines()[0]
                    self._say(f"no guarded operations just now: {why}")
                except Exception:  # the edge of the loop: one bad row must not end the desk
                    log.exception("the desk failed inside the gateway, and begins again")
                await self._finish()
                await self._clock.sleep(_RETRY_SECONDS)
        finally:
            await self._finish()
            await self._backend.close()

    async def _serve(self) -> None:
        for turn in itertools.count():
            if self._doubt:
                raise psycopg.OperationalError("how a request ended is to be read from the database")
            while len(self._busy) < _AT_ONCE and (call := await self._backend.take()) is not None:
                task = asyncio.create_task(self._handle(call))
                self._busy.add(task)
                task.add_done_callback(self._put_down)
            if turn % _FORGET_EVERY == 0:
                await self._backend.forget()
            if len(self._busy) < _AT_ONCE:
                await self._backend.woken()
            else:
                await asyncio.wait(self._busy, return_when=asyncio.FIRST_COMPLETED)

    def _put_down(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a request failed inside the gateway", exc_info=error)
            self._doubt = True

    async def _finish(self) -> None:
        """Wait for what is in hand: afterwards what is unanswered in the database is in nobody's hand."""
        if self._busy:
            await asyncio.wait(self._busy)

    async def _handle(self, call: Call) -> None:
        exchange = Exchange(
            request=cast(web.BaseRequest, call),
            arrived=rfc3339(self._clock.now()),
            started=self._clock.monotonic(),
            control=self._control.last,
        )
        audit, check, decide = self._stages
        stages: list[Stage] = [audit, Entrance(self._backend, self._actor, call), check, decide]
        answer = await compose(stages, partial(self._forward.operate, call))(exchange)
        if answer.code >= 500 and exchange.decision is Decision.ALLOWED:
            self._doubt = True  # how it ended is in the database
            return
        refused = answer.code >= 400
        decision = Decision.REFUSED if refused else exchange.decision
        done = not refused and not exchange.dry_run
        try:
            await self._backend.answer(call.id, decision.value, done, _text(answer))
        except psycopg.Error:
            self._doubt = True  # it is answered from its record

    async def _recover(self) -> None:
        """Answer what was taken before this connection, and record what is not recorded yet."""
        left = await self._backend.left()
        if not left:
            return
        now = self._clock.now()
        oldest = max((now - one.call.asked_at).total_seconds() for one in left)
        recent = self._book.recent(now, max(oldest, 0.0) + _MARGIN_SECONDS)
        recorded = _by_mark(record for _, record in recent)
        for one in left:
            record = recorded.get(mark_of(one.call.id))
            if record is not None:
                await self._answer_from(one, record)
            elif one.acted:
                await self._answer_from(one, self._append(one).as_dict())
            else:
                refusal = one.call.refusal or _DIED
                await self._handle(replace(one.call, refusal=refusal))

    def _append(self, one: Left) -> AuditRecord:
        """The record of a deed whose gateway died before it wrote it. Raises LabError."""
        fields = dict(one.draft)
        fields["mode"], fields["decision"] = Mode(fields["mode"]), Decision(fields["decision"])
        fields["reason"] = "; ".join(part for part in (fields["reason"], _RECOVERED) if part)
        fields["diff"] = tuple(fields["diff"])
        record = self._book.append(**fields)
        age = (self._clock.now() - one.call.asked_at).total_seconds()
        self._ledger.recall([(max(age, 0.0), record.as_dict())])
        return record

    async def _answer_from(self, one: Left, record: dict[str, Any]) -> None:
        decision, message = record["decision"], record["reason"] or "it was recorded, and nothing was done"
        if one.acted:
            decision, message = Decision.ALLOWED.value, told(one.call, one.done)
        elif record["code"] >= 400:
            decision = Decision.REFUSED.value
        await self._backend.answer(one.call.id, decision, one.acted and one.done, message)

    def _say(self, text: str) -> None:
        if text != self._told:
            log.info("%s", text)
            self._told = text


def _text(answer: Answer) -> str:
    """What the client is told: the body, or the message of a Status."""
    if answer.code < 400:
        return answer.body.decode()
    return str(orjson.loads(answer.body)["message"])


def _by_mark(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Records of guarded operations, by the first word of their user agent."""
    return {record["user_agent"].partition(" ")[0]: record for record in records}
