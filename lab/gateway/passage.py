"""Mutations on their way through the gateway, and open streams: what the kill switch reaches at once.

waiting (body, images, approval, a fault's delay) ──► sent ──► answered
   │ refused                                            │ cannot be recalled; the record says so
streams into pods ──► cut
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from lab.core.audit import Decision
from lab.gateway.control import ControlState
from lab.gateway.exchange import Exchange
from lab.kube.status import StatusError, forbidden


class StreamCutError(OSError):
    """The kill switch ended a stream; its client's connection goes with it."""


@dataclass(eq=False, slots=True)
class _Passage:
    exchange: Exchange
    guard: asyncio.Timeout
    stopped: ControlState | None = None
    sent: bool = False

    def stop(self, state: ControlState) -> None:
        if self.sent:
            if not self.exchange.recall:
                self.exchange.recall = (
                    f"it was sent to the API server before {_cause(state)}; it could not be recalled"
                )
        elif self.stopped is None:
            self.stopped = state
            self.guard.reschedule(asyncio.get_running_loop().time())


class Passages:
    """All mutations and streams that are under way. `stop` reaches every one of them, synchronously."""

    def __init__(self) -> None:
        self._passages: dict[Exchange, _Passage] = {}
        self._streams: dict[Exchange, _Passage] = {}
        self.on_cut: Callable[[Exchange], None] = lambda exchange: None

    def stop(self, state: ControlState) -> None:
        """Refuse what waits, mark what was sent, cut what streams."""
        for passage in (*self._passages.values(), *self._streams.values()):
            passage.stop(state)
        for stream in self._streams.values():
            self._note_cut(stream, state)

    @contextlib.asynccontextmanager
    async def passing(self, exchange: Exchange) -> AsyncIterator[None]:
        """Around a mutation, from before its body is read; inside of another it does nothing.

        Raises StatusError 403 when it is stopped.
        """
        if exchange in self._passages:
            yield
            return
        passage = _Passage(exchange, asyncio.timeout(None))
        self._passages[exchange] = passage
        try:
            async with passage.guard:
                yield
        except TimeoutError:
            if passage.stopped is None or not passage.guard.expired():
                raise
            raise _refused(exchange, passage.stopped) from None
        finally:
            del self._passages[exchange]

    def send(self, exchange: Exchange) -> None:
        """From here on it cannot be recalled. Raises StatusError 403 when it was stopped just now."""
        passage = self._passages[exchange]
        if passage.stopped is not None:
            raise _refused(exchange, passage.stopped)
        passage.sent = True

    def is_sent(self, exchange: Exchange) -> bool:
        """Is it past recall?"""
        return self._passages[exchange].sent

    @contextlib.asynccontextmanager
    async def streaming(self, exchange: Exchange, state: ControlState) -> AsyncIterator[None]:
        """Around a stream into a pod, for as long as it is open; `state` is what is known as it opens.

        Raises StreamCutError when it is stopped.
        """
        stream = _Passage(exchange, asyncio.timeout(None))
        self._streams[exchange] = stream
        try:
            async with stream.guard:
                if state.stopped:
                    stream.stop(state)
                    self._note_cut(stream, state)
                yield
        except TimeoutError:
            if stream.stopped is None:
                raise
            raise StreamCutError from None
        finally:
            del self._streams[exchange]

    def _note_cut(self, stream: _Passage, state: ControlState) -> None:
        if stream.stopped is state:
            stream.exchange.decision = Decision.REFUSED
            stream.exchange.reason = f"the stream was cut: {_cause(state)}"
            self.on_cut(stream.exchange)


def _cause(state: ControlState) -> str:
    return state.engaged() if state.readable else state.why_stopped()


def _refused(exchange: Exchange, state: ControlState) -> StatusError:
    exchange.decision = Decision.REFUSED
    exchange.reason = state.why_stopped()
    info = exchange.target.info if exchange.target else None
    if info is None:
        return forbidden("request", "", "", exchange.reason)
    return forbidden(info.resource or info.path, info.group, info.name, exchange.reason)
