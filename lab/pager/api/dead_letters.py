"""The dead-letter queue over HTTP."""

from __future__ import annotations

from typing import Any

from lab.pager.book import Book
from lab.pager.fields import Field, Kind, author
from lab.pager.operation import Answer, Call, Operation, Query
from lab.pager.schemas import listed, named, whole
from lab.pager.values import LetterStatus

MAX_PAYLOAD = 16 * 1024
_ONE = "/api/v1/dead-letters/{id}"


class DeadLettersApi:
    """Give up, look, give back, throw away."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def operations(self) -> list[Operation]:
        """The table."""
        letter = named("DeadLetter")
        payload = Field(
            "payload",
            "What it takes to do the work once more.",
            Kind.OBJECT,
            required=False,
            limit=MAX_PAYLOAD,
        )
        incident = Field("incident", "The incident it is about.", required=False, limit=64)
        summary = Field("summary", "What was given up.")
        status = Query("status", "Which ones; all when left out.", ("", *LetterStatus))
        by = Query("by", "Only those of this owner.")

        def change(what: str, name: str, summary: str, handler: Any, *fields: Field) -> Operation:
            return Operation(
                "POST",
                f"{_ONE}/{what}",
                name,
                summary,
                handler,
                letter,
                fields=(author(), *fields),
                refusals=(404, 409),
            )

        return [
            Operation(
                "POST",
                "/api/v1/dead-letters",
                "addDeadLetter",
                "Give work up. The same work is the same letter: 200 while it is open, else open again.",
                self.add,
                letter,
                fields=(author(), summary, incident, payload),
                success=201,
                refusals=(404, 409),
            ),
            Operation(
                "GET",
                "/api/v1/dead-letters",
                "listDeadLetters",
                "Dead letters, oldest first.",
                self.list,
                whole(deadLetters=listed(letter)),
                query=(status, by),
            ),
            Operation("GET", _ONE, "getDeadLetter", "One dead letter.", self.get, letter, refusals=(404,)),
            change("replay", "replayDeadLetter", "Give it back to its owner.", self.replay),
            change("done", "finishDeadLetter", "Its owner did the work after a replay.", self.done),
            change("discard", "discardDeadLetter", "Throw it away.", self.discard, Field("reason", "Why.")),
        ]

    def add(self, call: Call) -> Any:
        """Give work up."""
        values = call.values
        work = (call.by, values["summary"], values["payload"] or {}, values["incident"])
        letters = self._book.dead_letters
        known = letters.find(*work)
        was_open = known is not None and known.status is LetterStatus.OPEN
        return Answer(letters.add(*work).as_dict(), 200 if was_open else 201)

    def list(self, call: Call) -> Any:
        """Letters of a status and an owner."""
        status, by = call.query["status"], call.query["by"]
        found = [
            letter.as_dict()
            for letter in self._book.store.state.dead_letters.values()
            if status in ("", letter.status.value) and by in ("", letter.by)
        ]
        return {"deadLetters": found}

    def get(self, call: Call) -> Any:
        """One letter."""
        return self._book.dead_letters.get(call.id).as_dict()

    def replay(self, call: Call) -> Any:
        """Give it back."""
        return self._book.dead_letters.replay(call.id, call.by).as_dict()

    def done(self, call: Call) -> Any:
        """The work is done."""
        return self._book.dead_letters.done(call.id, call.by).as_dict()

    def discard(self, call: Call) -> Any:
        """Throw it away."""
        return self._book.dead_letters.discard(call.id, call.by, call.values["reason"]).as_dict()
