"""Silences, as in Alertmanager: for a while, alerts that match page nobody.

Source of the rules: Alertmanager's api/v2/openapi.yaml. A silence is changed in place when its matchers and
its past stay; otherwise the old one ends and a new one begins. It never covers the past.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from lab.core.clock import rfc3339
from lab.errors import UsageError
from lab.pager.journal import Record
from lab.pager.matchers import Matcher, all_match
from lab.pager.people import plain_name
from lab.pager.state import record_of
from lab.pager.store import NotFound, Store, WrongState
from lab.pager.values import Silence

MAX_SILENCES = 200
"""Active or pending ones."""


class Silences:
    """All operations on silences."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._active: set[str] = set()

    def tick(self) -> None:
        """Tell whoever follows the store when a silence began or ended by itself."""
        now = self._store.clock.now()
        active = {
            silence.id for silence in self._store.state.silences.values() if silence.state(now) == "active"
        }
        if active != self._active:
            self._active = active
            self._store.wake()

    def get(self, identity: str) -> Silence:
        """One silence. Raises NotFound."""
        found = self._store.state.silences.get(identity)
        if found is None:
            raise NotFound(f"there is no silence {identity[:80]!r}")
        return found

    def silencing(self, labels: Mapping[str, str], now: datetime) -> list[str]:
        """The ids of the active silences that match."""
        return [
            silence.id
            for silence in self._store.state.silences.values()
            if silence.state(now) == "active" and all_match(silence.matchers, labels)
        ]

    def put(self, wanted: Silence) -> Silence:
        """Make or change a silence; the id is empty for a new one. Raises NotFound, UsageError, WrongState,
        JournalError."""
        now = self._store.clock.now()
        _check(wanted, now)
        old = self.get(wanted.id) if wanted.id else None
        if old is not None and _is_same_past(old, wanted, now):
            silence = replace(wanted, updated_at=now)
            records = [record_of("silence", silence), self._line(silence, "changed")]
        else:
            self._refuse_too_many(now)
            starts_at = max(wanted.starts_at, now)
            number = self._number(wanted, now)
            silence = replace(wanted, id=number, starts_at=starts_at, updated_at=now)
            records = [record_of("silence", silence), self._line(silence, "begins")]
            if old is not None and old.state(now) != "expired":
                records = [*self._ending(old, wanted.created_by, now), *records]
        self._store.commit(records, answer={"silenceID": silence.id})
        return silence

    def expire(self, identity: str, by: str) -> None:
        """End a silence now; one that has ended stays as it is. Raises NotFound, JournalError."""
        now = self._store.clock.now()
        silence = self.get(identity)
        if silence.state(now) != "expired":
            self._store.commit(self._ending(silence, by, now), answer={})

    def _ending(self, silence: Silence, by: str, now: datetime) -> list[Record]:
        ended = replace(silence, starts_at=min(silence.starts_at, now), ends_at=now, updated_at=now)
        return [record_of("silence", ended), self._line(ended, "ends", by)]

    def _number(self, silence: Silence, now: datetime) -> str:
        parts = (rfc3339(now), *map(str, silence.matchers), str(len(self._store.state.silences)))
        return str(uuid.uuid5(uuid.NAMESPACE_OID, "\0".join(parts)))

    def _refuse_too_many(self, now: datetime) -> None:
        living = sum(silence.state(now) != "expired" for silence in self._store.state.silences.values())
        if living >= MAX_SILENCES:
            raise WrongState(f"there are {MAX_SILENCES} silences; no more are taken", hint="expire some")

    def _line(self, silence: Silence, what: str, by: str = "") -> Record:
        matchers = ", ".join(map(str, silence.matchers))
        until = f" until {rfc3339(silence.ends_at)}" if what != "ends" else ""
        comment = f": {silence.comment}" if silence.comment and what != "ends" else ""
        text = f"silence {silence.id} {what}{until}: {{{matchers}}}{comment}"
        return self._store.history("silence", by or silence.created_by, text, silence.as_dict())


def _check(silence: Silence, now: datetime) -> None:
    if not silence.matchers:
        raise UsageError("a silence needs at least one matcher")
    if all(matcher.matches({}) for matcher in silence.matchers):
        raise UsageError("at least one matcher must not match an alert without that label")
    if silence.ends_at <= silence.starts_at:
        raise UsageError("endsAt must be after startsAt")
    if silence.ends_at <= now:
        raise UsageError("endsAt must not lie in the past")
    if not plain_name(silence.created_by):
        raise UsageError("createdBy is missing: name who wants the silence")


def _is_same_past(old: Silence, new: Silence, now: datetime) -> bool:
    """May the silence be changed in place: same matchers, not over, and no start moved that has been?"""

    def as_set(matchers: tuple[Matcher, ...]) -> set[str]:
        return set(map(str, matchers))

    if as_set(old.matchers) != as_set(new.matchers) or old.state(now) == "expired":
        return False
    return new.starts_at == old.starts_at if old.state(now) == "active" else new.starts_at >= now
