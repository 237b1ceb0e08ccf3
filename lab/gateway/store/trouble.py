"""The object store's own trouble, made on purpose: the rows of the fault injector for S3 requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lab.core.clock import Clock
from lab.core.fault_row import FaultRow
from lab.core.seed import stream
from lab.gateway.exchange import Answer, Exchange, Handler
from lab.gateway.faults.answers import Throttle
from lab.gateway.faults.hit import Hit, Scene
from lab.gateway.store.answers import S3_CODE
from lab.gateway.store.operations import Operation
from lab.kube.status import StatusError

SLOW_DOWN, SLOW_LIST, STALE_LIST = "store-slow-down", "store-slow-list", "store-stale-list"
PARTIAL, HOLD = "store-partial-delete", "store-hold"
_DESTRUCTIVE = frozenset({"DeleteObject", "DeleteObjects", "PutObject", "CopyObject"})
_MOST_LISTINGS = 1000


@dataclass(frozen=True, slots=True)
class Withheld:
    """A key that the store refuses to touch."""

    key: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _Listing:
    taken_at: float
    answer: Answer


class Trouble:
    """A stage before the control is read, and what the forwarding asks about keys."""

    def __init__(self, scene: Scene, clock: Clock) -> None:
        self._scene = scene
        self._clock = clock
        self._throttle = Throttle(clock)
        self._listings: dict[tuple[str, str, str], _Listing] = {}

    async def __call__(self, exchange: Exchange, following: Handler) -> Answer:
        assert exchange.target is not None
        for hit in self._hits(exchange, SLOW_DOWN):
            if not self._throttle.allows(hit):
                hit.answer_instead()
                message = "Please reduce your request rate."
                raise StatusError(503, "ServiceUnavailable", message, headers={S3_CODE: "SlowDown"})
        if exchange.target.info.verb != "list":
            return await following(exchange)
        for hit in self._hits(exchange, SLOW_LIST):
            hit.mark()
            await hit.hold(hit.setting("delaySeconds"))
        if not self._rows(STALE_LIST):
            self._listings.clear()
        for hit in self._hits(exchange, STALE_LIST):
            return await self._earlier(hit, following)
        return await following(exchange)

    def withheld(self, exchange: Exchange, operation: Operation, exists: bool) -> list[Withheld]:
        """Of the operation's keys, those that a fault keeps. exists: the single key is there now."""
        is_new = operation.name in ("PutObject", "CopyObject") and not exists
        if is_new or operation.name not in _DESTRUCTIVE:
            return []
        found: dict[str, Withheld] = {}
        for row in self._rows(HOLD, PARTIAL):
            if row.fault == PARTIAL and operation.name != "DeleteObjects":
                continue
            hit = self._scene.hit(row, exchange)
            keys = [key for key in operation.keys if key not in found and _chosen(row, key)] if hit else []
            if hit and keys:
                hit.mark()
                found |= {key: _withhold(row, key) for key in keys}
        return list(found.values())

    def _hits(self, exchange: Exchange, fault: str) -> Iterator[Hit]:
        """The active faults of a kind that bite this request, one after the other."""
        for row in self._rows(fault):
            if hit := self._scene.hit(row, exchange):
                yield hit

    def _rows(self, *faults: str) -> list[FaultRow]:
        return [row for row in self._scene.board.active() if row.fault in faults]

    async def _earlier(self, hit: Hit, following: Handler) -> Answer:
        """The answer that this client got to this listing before, while it is not too old."""
        exchange = hit.exchange
        key = (hit.row.id, exchange.actor, exchange.request.raw_path)
        now = self._clock.monotonic()
        known = self._listings.get(key)
        if known is not None and now - known.taken_at < hit.setting("ageSeconds"):
            hit.mark()
            return Answer(known.answer.code, known.answer.headers.copy(), known.answer.body)
        answer = await _whole(await following(exchange))
        if answer.code == 200:
            while len(self._listings) >= _MOST_LISTINGS:
                del self._listings[next(iter(self._listings))]
            self._listings[key] = _Listing(now, Answer(200, answer.headers.copy(), answer.body))
        return answer


def keys_left(operation: Operation, withheld: Iterable[Withheld]) -> tuple[str, ...]:
    """The keys that the store is still asked to touch."""
    kept = {one.key for one in withheld}
    return tuple(key for key in operation.keys if key not in kept)


def _chosen(row: FaultRow, key: str) -> bool:
    prefix = row.parameters.get("prefix") or ""
    return key.startswith(prefix) and stream(row.seed, "key", key).random() < row.parameters["share"]


def _withhold(row: FaultRow, key: str) -> Withheld:
    if row.fault == HOLD:
        return Withheld(key, "AccessDenied", "Access Denied because the object is under a legal hold.")
    return Withheld(key, "InternalError", "We encountered an internal error. Please try again.")


async def _whole(answer: Answer) -> Answer:
    if answer.stream is None:
        return answer
    stream_ = answer.stream
    try:
        answer.body = b"".join([chunk async for chunk in stream_.content.iter_any()])
    finally:
        stream_.close()
    answer.stream = None
    answer.headers.popall("Content-Length", None)
    return answer
