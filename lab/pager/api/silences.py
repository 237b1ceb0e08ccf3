"""Silences over HTTP, as in the Alertmanager v2 API.

Source: Alertmanager's api/v2/openapi.yaml. Unlike there, ending a silence that has ended is no failure.
"""

from __future__ import annotations

from typing import Any

from lab.errors import UsageError
from lab.pager.api.alertmanager import FILTER, read_filter
from lab.pager.book import Book
from lab.pager.fields import MAX_BY, Field, Kind, author
from lab.pager.matchers import Matcher, parse_matchers
from lab.pager.operation import Call, Operation
from lab.pager.schemas import TEXT, listed, named, whole
from lab.pager.values import Silence

_ORDER = {"active": 0, "pending": 1, "expired": 2}
SOMEBODY = "the Alertmanager API"
"""Who ends a silence: the API does not ask."""


class SilencesApi:
    """The routes below /api/v2 that are about silences."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def operations(self) -> list[Operation]:
        """The table."""
        silence = named("Silence")
        matchers = Field(
            "matchers",
            "All must hold; at least one. Alertmanager's objects, or texts.",
            Kind.LIST,
            schema={"items": {"anyOf": [named("Matcher"), TEXT]}, "minItems": 1},
        )
        fields = (
            Field("id", "The silence to change; a new one when left out.", required=False, limit=MAX_BY),
            matchers,
            Field("startsAt", "Not before now.", Kind.INSTANT),
            Field("endsAt", "After startsAt.", Kind.INSTANT),
            author("createdBy", "Who wants it."),
            Field("comment", "Why.", required=False),
        )
        one = "/api/v2/silence/{id}"
        return [
            Operation(
                "GET",
                "/api/v2/silences",
                "getSilences",
                "Silences: active, pending, expired.",
                self.list,
                listed(silence),
                query=(FILTER,),
            ),
            Operation(
                "POST",
                "/api/v2/silences",
                "postSilences",
                "Make or change a silence.",
                self.post,
                whole(silenceID=TEXT),
                fields=fields,
                refusals=(404, 409),
            ),
            Operation("GET", one, "getSilence", "One silence.", self.get, silence, refusals=(404,)),
            Operation(
                "DELETE",
                one,
                "deleteSilence",
                "End a silence now.",
                self.delete,
                {"type": "object", "maxProperties": 0},
                refusals=(404,),
            ),
        ]

    def list(self, call: Call) -> Any:
        """Those whose matchers' names and values pass the filter."""
        filters = read_filter(call)
        found = []
        for silence in self._book.store.state.silences.values():
            values = {matcher.name: matcher.value for matcher in silence.matchers}
            if all(_passes(one, values) for one in filters):
                found.append(self._wire(silence))
        return sorted(found, key=lambda silence: (_ORDER[silence["status"]["state"]], silence["endsAt"]))

    def post(self, call: Call) -> Any:
        """Make or change one."""
        values = call.values
        try:
            matchers = parse_matchers(values["matchers"])
        except ValueError as error:
            raise UsageError(f"matchers: {error}") from error
        now = self._book.store.clock.now()
        wanted = Silence(
            id=values["id"],
            matchers=matchers,
            starts_at=values["startsAt"],
            ends_at=values["endsAt"],
            created_by=values["createdBy"],
            comment=values["comment"],
            updated_at=now,
        )
        return {"silenceID": self._book.silences.put(wanted).id}

    def get(self, call: Call) -> Any:
        """One silence."""
        return self._wire(self._book.silences.get(call.id))

    def delete(self, call: Call) -> Any:
        """End one."""
        self._book.silences.expire(call.id, SOMEBODY)
        return {}

    def _wire(self, silence: Silence) -> dict[str, Any]:
        return silence.as_dict() | {"status": {"state": silence.state(self._book.store.clock.now())}}


def _passes(one: Matcher, values: dict[str, str]) -> bool:
    """Does a silence with these matchers' values pass a filter? As there: a positive one wants the name."""
    return one.matches(values) and (one.name in values or one.operator.startswith("!"))
