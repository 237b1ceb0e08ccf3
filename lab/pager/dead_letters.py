"""The dead-letter queue: work that was given up waits for a person, who gives it back or throws it away.

    open ──► replayed ──► done           the owner took it and it worked
     ▲ │         │
     │ │         ├──► open               it was given up again, or nobody took it in time
     │ └─────────┴──► discarded          a person threw it away, with a reason

One protocol for all. A replay makes a letter `replayed`: its owner is to do the work once more. The owner of
a notification is its webhook, which is told again; 2xx is done, a final refusal opens the letter again. The
owner of anything else polls `GET /api/v1/dead-letters?status=replayed`, does the work and says `done`; giving
the same work up again (same author, summary, incident and payload) opens the same letter and counts the
attempt. At least once: the work must be idempotent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.pager.journal import Record
from lab.pager.people import same_person
from lab.pager.state import delivered_record, record_of
from lab.pager.store import PAGER, NotFound, Store, WrongState
from lab.pager.values import DeadLetter, LetterStatus

TAKE_LAB_MINUTES = 15.0
"""How long a replayed letter waits for its owner."""
MAX_OPEN = 500


class DeadLetters:
    """All operations on dead letters."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, identity: str) -> DeadLetter:
        """One letter. Raises NotFound."""
        found = self._store.state.dead_letters.get(identity)
        if found is None:
            raise NotFound(f"there is no dead letter {identity[:80]!r}", hint="lab dead-letters lists them")
        return found

    def find(self, by: str, summary: str, payload: Mapping[str, Any], incident: str) -> DeadLetter | None:
        """The letter of exactly this work."""
        return self._store.state.dead_letters.get(letter_id(by, summary, payload, incident))

    def add(
        self, by: str, summary: str, payload: Mapping[str, Any], incident: str = "", webhook: str = ""
    ) -> DeadLetter:
        """Give work up. The same work again is the same letter, open again with one attempt more; while it is
        open nothing changes. Raises NotFound (the incident), WrongState (too many), JournalError."""
        letter, records = self.giving_up(by, summary, payload, incident, webhook)
        if records:
            self._store.commit(records, letter.as_dict())
        return letter

    def giving_up(
        self, by: str, summary: str, payload: Mapping[str, Any], incident: str = "", webhook: str = ""
    ) -> tuple[DeadLetter, list[Record]]:
        """The letter that `add` would write, and what it would commit. Raises NotFound, WrongState."""
        if incident and not webhook:
            self._store.incident(incident)
        known = self.find(by, summary, payload, incident)
        if known is not None and known.status is LetterStatus.OPEN:
            return known, []
        waiting = sum(not letter.is_closed for letter in self._store.state.dead_letters.values())
        if waiting >= MAX_OPEN and known is None:
            raise WrongState(
                f"{MAX_OPEN} dead letters wait; no more are taken", hint="replay or discard some"
            )
        now = self._store.clock.now()
        if known is not None:
            letter = replace(
                known, status=LetterStatus.OPEN, attempts=known.attempts + 1, changed_at=now, changed_by=by
            )
        else:
            number = letter_id(by, summary, payload, incident)
            letter = DeadLetter(number, now, by, summary, dict(payload), incident, webhook)
        tries = f" (given up {letter.attempts} times)" if letter.attempts > 1 else ""
        return letter, self._records(letter, by, f"gives up: {summary}{tries}")

    def replay(self, identity: str, by: str) -> DeadLetter:
        """Give a letter back to its owner. One that is replayed already stays so.

        Raises NotFound, WrongState, JournalError.
        """
        letter = self._living(identity)
        if letter.status is LetterStatus.REPLAYED:
            return letter
        if letter.webhook and letter.webhook not in self._store.state.webhooks:
            raise WrongState(
                f"webhook {letter.webhook} is not registered any more",
                hint="discard the letter, or register it",
            )
        if letter.webhook and letter.incident not in self._store.state.incidents:
            raise WrongState(f"incident {letter.incident} is forgotten", hint="discard the letter")
        changed = self._changed(letter, LetterStatus.REPLAYED, by)
        again = [delivered_record(letter.webhook, letter.incident, "")] if letter.webhook else []
        self._put(changed, by, f"gives back to {letter.webhook or letter.by}: {letter.summary}", again)
        return changed

    def done(self, identity: str, by: str) -> DeadLetter:
        """The owner did it. A second time changes nothing. Raises NotFound, WrongState, JournalError."""
        letter = self.get(identity)
        if letter.status is LetterStatus.DONE:
            return letter
        if not same_person(by, letter.webhook or letter.by):
            raise WrongState(
                f"dead letter {identity} is {letter.by}'s, and only its owner can say that it is done"
            )
        letter = self._living(identity)
        changed = self._changed(letter, LetterStatus.DONE, by)
        self._put(changed, by, f"done: {letter.summary}")
        return changed

    def discard(self, identity: str, by: str, reason: str) -> DeadLetter:
        """Throw a letter away. Raises NotFound, WrongState, JournalError."""
        letter = self._living(identity)
        changed = replace(self._changed(letter, LetterStatus.DISCARDED, by), note=reason)
        self._put(changed, by, f"discards: {letter.summary}: {reason}")
        return changed

    def tick(self) -> None:
        """Open again what nobody took in time. Raises JournalError."""
        now = self._store.clock.now()
        patience = self._store.span(TAKE_LAB_MINUTES)
        for letter in list(self._store.state.dead_letters.values()):
            is_late = letter.changed_at is not None and now - letter.changed_at >= patience
            if letter.status is LetterStatus.REPLAYED and is_late:
                changed = self._changed(letter, LetterStatus.OPEN, PAGER)
                text = f"not taken by {letter.webhook or letter.by} in time: {letter.summary}"
                self._put(changed, PAGER, text, is_answer=False)

    # What became of notifications

    def taken(self, webhook: str, incident: str) -> list[Record]:
        """What else is true once a webhook took a notification: its replayed letters about it are done."""
        records: list[Record] = []
        for letter in self._store.state.dead_letters.values():
            is_its = letter.webhook == webhook and letter.incident == incident
            if is_its and letter.status is LetterStatus.REPLAYED:
                changed = self._changed(letter, LetterStatus.DONE, webhook)
                records += self._records(changed, webhook, f"done: {letter.summary}")
        return records

    def _living(self, identity: str) -> DeadLetter:
        letter = self.get(identity)
        if letter.is_closed:
            raise WrongState(f"dead letter {identity} is {letter.status} already")
        return letter

    def _changed(self, letter: DeadLetter, status: LetterStatus, by: str) -> DeadLetter:
        return replace(letter, status=status, changed_at=self._store.clock.now(), changed_by=by)

    def _put(
        self, letter: DeadLetter, by: str, text: str, more: Sequence[Record] = (), *, is_answer: bool = True
    ) -> None:
        answer = letter.as_dict() if is_answer else None
        self._store.commit([*self._records(letter, by, text), *more], answer)

    def _records(self, letter: DeadLetter, by: str, text: str) -> list[Record]:
        data = {"deadLetter": letter.id, "status": letter.status.value, "attempts": letter.attempts}
        text = f"{letter.id} {text}"
        line = self._store.history("dead-letter", by, text, data, incident=letter.incident)
        return [record_of("dead-letter", letter), line]


def letter_id(by: str, summary: str, payload: Mapping[str, Any], incident: str) -> str:
    """The id of a piece of work: the same whenever it is given up."""
    text = json.dumps([by, summary, payload, incident], sort_keys=True)
    return "dead-" + hashlib.sha256(text.encode()).hexdigest()[:10]
