"""The one place where the pager changes: a list of records, in the journal before the state believes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lab.core.clock import Clock, TimeScale, rfc3339
from lab.core.incident import HistoryEntry, Incident
from lab.errors import UsageError
from lab.pager.journal import Journal, JournalError, Record
from lab.pager.meters import PagerMeters
from lab.pager.state import PagerState, record_of
from lab.pager.values import PastAnswer

PAGER = "pager"
"""Who acts when it is the pager itself."""

_COMPACT_ABOVE = 2000


class NotFound(UsageError):
    """There is no such thing."""


class WrongState(UsageError):
    """It is past the point where that can be done, or full."""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The Idempotency-Key of the request being served: digest of the request, code of its success."""

    key: str
    digest: str
    success: int


class Store:
    """State, journal, time and meters of one pager. Synchronous, hence atomic on one event loop."""

    def __init__(
        self, journal: Journal, clock: Clock, scale: TimeScale, meters: PagerMeters, state: PagerState
    ) -> None:
        self.state = state
        self.clock = clock
        self.scale = scale
        self.meters = meters
        self.changed: list[Callable[[], None]] = []
        """Called after every change."""
        self._journal = journal
        self._request: RequestKey | None = None

    def remember(self) -> None:
        """Read the journal. Raises JournalError when it cannot be written."""
        for record in self._journal.load():
            try:
                self.state.apply(record)
            except (KeyError, ValueError, TypeError, AttributeError):
                continue  # a record of another version; the rest is still worth having
        self._journal.rewrite(self.state.snapshot())
        self.meters.follow(self.state)

    def span(self, lab_minutes: float) -> timedelta:
        """So many lab minutes, in real time."""
        return timedelta(seconds=self.scale.real(minutes=lab_minutes))

    def new_id(self, prefix: str, *parts: str) -> str:
        """An id that nothing else has: it is made from the instant and the parts."""
        text = "\0".join((rfc3339(self.clock.now()), *parts))
        return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"

    @contextmanager
    def answering(self, request: RequestKey) -> Iterator[None]:
        """Meanwhile, a commit that knows its answer keeps the answer too, in one piece with the change: a
        request that is repeated after a crash finds either both or neither."""
        self._request = request
        try:
            yield
        finally:
            self._request = None

    def keep_answer(self, request: RequestKey, code: int, body: str) -> None:
        """Keep the answer of a request that changed nothing, or in several pieces. Raises JournalError."""
        if request.key not in self.state.answers:
            self.commit([record_of("answer", PastAnswer(request.key, request.digest, code, body))])

    def commit(self, records: list[Record], answer: Mapping[str, Any] | None = None) -> None:
        """Make it so. answer: what the request that wants this is told. Raises JournalError."""
        request = self._request
        if request is not None and answer is not None:
            past = PastAnswer(request.key, request.digest, request.success, json.dumps(answer))
            records = [*records, record_of("answer", past)]
        self._journal.append(records)
        for record in records:
            self.state.apply(record)
        if self._journal.records > _COMPACT_ABOVE and self._journal.records > 4 * self.state.size():
            try:
                self._journal.rewrite(self.state.snapshot())
            except JournalError:
                pass  # the long file is as good; the next change tries again
        self.meters.follow(self.state)
        self.wake()

    def wake(self) -> None:
        """Tell whoever follows."""
        for listener in list(self.changed):
            listener()

    def history(
        self,
        kind: str,
        by: str,
        text: str,
        data: Mapping[str, Any] | None = None,
        *,
        incident: str = "",
    ) -> Record:
        """The record of a line of the history."""
        return record_of("history", HistoryEntry(self.clock.now(), kind, incident, by, text, data or {}))

    def incident(self, identity: str) -> Incident:
        """One incident. Raises NotFound."""
        found = self.state.incidents.get(identity)
        if found is None:
            raise NotFound(f"there is no incident {identity[:80]!r}", hint="lab incidents lists them")
        return found
