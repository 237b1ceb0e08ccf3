"""The stages of the chain: authenticate, control, decide, upstream; audit stands around them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from lab.core.audit import AuditRecord, Decision, Mode
from lab.core.clock import Clock
from lab.errors import LabError
from lab.gateway.audit import AuditLog
from lab.gateway.control import Control
from lab.gateway.exchange import Answer, Exchange, Handler, read_body, status_answer
from lab.gateway.identity import Clients
from lab.gateway.measures import Measures
from lab.gateway.passage import Passages
from lab.gateway.policy import decide as rule
from lab.gateway.rehearsals import Rehearsals
from lab.gateway.risk import classify
from lab.gateway.standing import acting_mode_of
from lab.gateway.target import read_target
from lab.kube.status import StatusError, forbidden, internal_error, service_unavailable

log = logging.getLogger("lab.gateway")
_TEXT = 500


class Audit:
    """Outermost: turns failures into Status answers, and writes the record before the answer goes out."""

    def __init__(self, book: AuditLog, measures: Measures, rehearsals: Rehearsals, clock: Clock) -> None:
        self._book = book
        self._measures = measures
        self._rehearsals = rehearsals
        self._clock = clock

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        try:
            answer = await self._answer(exchange, following)
        except asyncio.CancelledError:
            self._record(exchange, 0)  # the client went away before there was an answer
            raise
        try:
            record = self._record(exchange, answer.code)
        except LabError as error:
            answer.drop()
            return status_answer(service_unavailable(f"{error.message}; the gateway answers nothing else"))
        self._measures.count(record)
        self._rehearsals.note(record)
        return answer

    def cut(self, exchange: Exchange) -> None:
        """A second record for a stream that was cut: refused, without an answer."""
        try:
            self._record(exchange, 0)
        except LabError as error:
            log.error("a stream was cut, and could not be recorded: %s", error.message)

    async def _answer(self, exchange: Exchange, following: Handler) -> Answer:
        try:
            return await following(exchange)
        except StatusError as error:
            exchange.reason = exchange.reason or error.message
            return status_answer(error)
        except Exception:  # the edge of a request: one bad request must not take the gateway down
            log.exception("a request failed inside the gateway")
            exchange.reason = "internal error"
            return status_answer(internal_error("the gateway failed; its log says why"))

    def fields(self, exchange: Exchange, code: int) -> dict[str, Any]:
        """The record of an exchange as it stands, without its number."""
        request, target = exchange.request, exchange.target
        info = target.info if target else None
        whole = info is not None and info.is_resource
        return {
            "time": exchange.arrived,
            "actor": exchange.actor,
            "mode": exchange.control.mode,
            "verb": _cut(info.verb if info else request.method.lower(), 40),
            "group": _cut(info.group) if info and whole else "",
            "resource": _cut(info.resource) if info and whole else "",
            "subresource": _cut(info.subresource) if info and whole else "",
            "namespace": _cut(info.namespace) if info and whole else "",
            "name": _cut((info.name or exchange.made) if info and whole else request.raw_path),
            "decision": exchange.decision,
            "code": code,
            "latency_ms": round((self._clock.monotonic() - exchange.started) * 1000, 3),
            "mutating": exchange.mutating,
            "dry_run": exchange.dry_run,
            "reason": _cut("; ".join(part for part in (exchange.reason, exchange.recall) if part), 2 * _TEXT),
            "diff": exchange.diff,
            "before": exchange.before,
            "incident": _cut(request.headers.get("X-Lab-Incident", "")),
            "note": _cut(request.headers.get("X-Lab-Reason", ""), 2 * _TEXT),
            "fault": exchange.fault,
            "user_agent": _cut(request.headers.get("User-Agent", ""), 200),
            "risk": exchange.risk,
            "canary": exchange.canary,
            "approval": exchange.approval,
            "budget": _cut(exchange.budget),
        }

    def _record(self, exchange: Exchange, code: int) -> AuditRecord:
        return self._book.append(**self.fields(exchange, code))


class Authenticate:
    """Token → actor. Reading the request line comes first, so that a refusal can say what it was about."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        request = exchange.request
        misread: StatusError | None = None
        try:
            exchange.target = read_target(request.method, request.raw_path)
        except StatusError as error:
            misread = error
        exchange.actor = self._clients.authenticate(request.headers.get("Authorization", ""))
        if misread is not None:
            raise misread
        return await following(exchange)


class Stoppable:
    """From here until a mutation is sent, the kill switch stops it at once, also while a fault delays it."""

    def __init__(self, passages: Passages) -> None:
        self._passages = passages

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        if not exchange.mutating:
            return await following(exchange)
        async with self._passages.passing(exchange):
            return await following(exchange)


class CheckControl:
    """Reads mode and kill switch from the API server when the request may change something."""

    def __init__(self, control: Control, passages: Passages, measures: Measures) -> None:
        self._control = control
        self._passages = passages
        self._measures = measures

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        if not exchange.mutating:
            if exchange.target is not None and exchange.target.is_review:
                exchange.body = await read_body(exchange.request)
            return await following(exchange)
        async with self._passages.passing(exchange):
            exchange.body = await read_body(exchange.request)  # before the look: a slow body must not age it
            exchange.control = await self._control.read()
            self._measures.show(exchange.control)
            return await following(exchange)


class Decide:
    """Asks the policy, and refuses what cannot be recorded."""

    def __init__(self, book: AuditLog) -> None:
        self._book = book

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        target = exchange.target
        assert target is not None
        exchange.acting = acting_mode_of(exchange, exchange.control)
        if exchange.mutating and exchange.control.mode is Mode.CANARY:
            exchange.canary = "member" if exchange.acting is Mode.LIVE else "outside"
        if exchange.mutating and target.info.is_resource:
            exchange.risk = classify(target.info, exchange.control.risk).value
        ruling = rule(target, exchange.control, exchange.acting)
        if ruling.decision is Decision.REFUSED:
            exchange.reason = ruling.reason
            info = target.info
            raise forbidden(info.resource or info.path, info.group, info.name, ruling.reason)
        if exchange.mutating and not self._book.sound:
            raise service_unavailable("the audit log could not be written; mutations wait until it can")
        exchange.decision = ruling.decision
        return await following(exchange)


def _cut(text: str, length: int = _TEXT) -> str:
    """At most `length` characters, without what JSON cannot carry."""
    text = text[:length]
    return text if text.isascii() else text.encode(errors="replace").decode()
