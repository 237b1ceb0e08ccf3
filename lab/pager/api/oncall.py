"""Escalations, the ladder and the people on it over HTTP."""

from __future__ import annotations

from typing import Any

from lab.core.approval import ApprovalStatus
from lab.errors import UsageError
from lab.pager.book import Book
from lab.pager.fields import MAX_BY, MAX_EVIDENCE, Field, Kind, author, fields_schema, read_fields
from lab.pager.operation import Call, Operation, Query
from lab.pager.schemas import COUNT, TEXT, listed, named, whole
from lab.pager.values import Level

MAX_LEVELS = 10
MAX_LAB_MINUTES = 24 * 60.0
SHOWN_HANDOVERS = 20

_SUMMARY = Field("summary", "What a human has to know first.")
_EVIDENCE = Field("evidence", "What was found.", Kind.ANY, required=False, limit=MAX_EVIDENCE)
_INCIDENT = Field("incident", "The incident it is about.", required=False, limit=64)
_LEVEL = (
    Field("name", "What the level is called.", limit=MAX_BY),
    Field("person", "Who is called there.", limit=MAX_BY),
    Field("labMinutes", "How long they have to answer.", Kind.NUMBER),
)
_LEVELS = Field(
    "levels",
    f"One to {MAX_LEVELS} levels, the first called first.",
    Kind.LIST,
    schema={"items": fields_schema(_LEVEL), "minItems": 1, "maxItems": MAX_LEVELS},
)


class OnCallApi:
    """Who is called, and for what."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def operations(self) -> list[Operation]:
        """The table."""
        escalation, ladder = named("Escalation"), whole(levels=listed(named("Level")))
        on_call = whole(
            primary=TEXT,
            levels=listed(named("Level")),
            openIncidents=COUNT,
            pendingApprovals=COUNT,
            openEscalations=COUNT,
            summary=TEXT,
            handovers=listed(named("Handover")),
        )
        escalate = (author(), _SUMMARY, _EVIDENCE)
        status = Query("status", "open: nobody took it yet.", ("open", "all"), "all")
        note = Field("note", "What the next one should know.", required=False)
        giver = author("from", "Who has been on call, and says so.")
        taker = Field("to", "Who is on call from now on.", limit=MAX_BY)
        return [
            Operation(
                "POST",
                "/api/v1/incidents/{id}/escalations",
                "escalateIncident",
                "Hand an incident over to a human.",
                self.escalate,
                escalation,
                fields=escalate,
                success=201,
                refusals=(404, 409),
            ),
            Operation(
                "POST",
                "/api/v1/escalations",
                "escalate",
                "Hand over to a human, with or without an incident.",
                self.escalate,
                escalation,
                fields=(*escalate, _INCIDENT),
                success=201,
                refusals=(404, 409),
            ),
            Operation(
                "GET",
                "/api/v1/escalations",
                "listEscalations",
                "Every hand-over to a human, oldest first, with the level that is called.",
                self.escalations,
                whole(escalations=listed(escalation)),
                query=(status,),
            ),
            Operation(
                "POST",
                "/api/v1/escalations/{id}/acknowledge",
                "acknowledgeEscalation",
                "Take an escalation; anybody but the one who handed it over.",
                self.acknowledge,
                escalation,
                fields=(author(),),
                refusals=(404, 409),
            ),
            Operation(
                "GET",
                "/api/v1/ladder",
                "getLadder",
                "The levels of the escalation ladder.",
                self.ladder,
                ladder,
            ),
            Operation(
                "PUT",
                "/api/v1/ladder",
                "setLadder",
                "Change the escalation ladder.",
                self.set_ladder,
                ladder,
                fields=(author(), _LEVELS),
                is_admin=True,
            ),
            Operation(
                "GET",
                "/api/v1/oncall",
                "getOnCall",
                "Who is on call now, the open work in words, and the latest hand-overs.",
                self.on_call,
                on_call,
            ),
            Operation(
                "POST",
                "/api/v1/oncall/handover",
                "handOver",
                "Hand over to the next person; the open work is written into the note.",
                self.hand_over,
                named("Handover"),
                fields=(giver, taker, note),
                success=201,
                refusals=(409,),
            ),
        ]

    def escalate(self, call: Call) -> Any:
        """Hand over to a human."""
        incident = call.path.get("id") or call.values["incident"]
        values = call.values
        made = self._book.escalations.escalate(call.by, values["summary"], values["evidence"], incident)
        return made.as_dict()

    def escalations(self, call: Call) -> Any:
        """Every hand-over to a human."""
        is_all = call.query["status"] == "all"
        found = self._book.store.state.escalations.values() if is_all else self._book.ladder.unanswered()
        return {"escalations": [escalation.as_dict() for escalation in found]}

    def acknowledge(self, call: Call) -> Any:
        """Take an escalation."""
        return self._book.escalations.acknowledge(call.id, call.by).as_dict()

    def ladder(self, _: Call) -> Any:
        """The levels."""
        return self._book.ladder.as_dict()

    def set_ladder(self, call: Call) -> Any:
        """Change the levels."""
        levels = [_level(item) for item in call.values["levels"]]
        if not 1 <= len(levels) <= MAX_LEVELS:
            raise UsageError(f"a ladder has 1 to {MAX_LEVELS} levels, not {len(levels)}")
        self._book.ladder.set_levels(call.by, levels)
        return self._book.ladder.as_dict()

    def on_call(self, _: Call) -> Any:
        """Who is on call."""
        state = self._book.store.state
        return {
            "primary": self._book.roster.primary,
            **self._book.ladder.as_dict(),
            "openIncidents": len(state.open),
            "pendingApprovals": len(self._book.approvals.all(ApprovalStatus.PENDING)),
            "openEscalations": len(self._book.ladder.unanswered()),
            "summary": self._book.roster.summary(),
            "handovers": [handover.as_dict() for handover in list(state.handovers)[-SHOWN_HANDOVERS:]],
        }

    def hand_over(self, call: Call) -> Any:
        """Hand over."""
        values = call.values
        return self._book.roster.hand_over(values["from"], values["to"], values["note"]).as_dict()


def _level(item: Any) -> Level:
    values = read_fields(_LEVEL, item)
    if not 0 < values["labMinutes"] <= MAX_LAB_MINUTES:
        raise UsageError(f"labMinutes must be above 0 and at most {MAX_LAB_MINUTES:g}")
    return Level(values["name"], values["person"], float(values["labMinutes"]))
