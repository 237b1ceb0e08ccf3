"""Incidents over HTTP."""

from __future__ import annotations

from typing import Any

from lab.core.incident import Incident, IncidentStatus
from lab.pager.api.actions import FIELDS, read_action
from lab.pager.book import Book
from lab.pager.fields import Field, author
from lab.pager.operation import Call, Operation, Query
from lab.pager.schemas import listed, named, whole

_ONE = "/api/v1/incidents/{id}"


class IncidentsApi:
    """The life of an incident."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def operations(self) -> list[Operation]:
        """The table."""
        incident = named("Incident")
        note, text = Field("note", "Why it is over.", required=False), Field("text", "The remark.")
        status = Query(
            "status",
            "open: triggered or acknowledged.",
            ("open", "all", *IncidentStatus),
            "open",
        )
        return [
            Operation(
                "GET",
                "/api/v1/incidents",
                "listIncidents",
                "Incidents of a status, oldest first.",
                self.list,
                whole(incidents=listed(incident)),
                query=(status,),
            ),
            Operation("GET", _ONE, "getIncident", "One incident.", self.get, incident, refusals=(404,)),
            Operation(
                "POST",
                f"{_ONE}/acknowledge",
                "acknowledgeIncident",
                "Take an incident, and what others escalated about it.",
                self.acknowledge,
                incident,
                fields=(author(),),
                refusals=(404, 409),
            ),
            Operation(
                "POST",
                f"{_ONE}/resolve",
                "resolveIncident",
                "Close an incident by hand. It is reopened when its alert goes on firing.",
                self.resolve,
                incident,
                fields=(author(), note),
                refusals=(404,),
            ),
            Operation(
                "POST",
                f"{_ONE}/notes",
                "addNote",
                "Write a remark.",
                self.note,
                incident,
                fields=(author(), text),
                refusals=(404, 409),
            ),
            Operation(
                "POST",
                f"{_ONE}/actions",
                "addAction",
                "Report what was done, or that nothing was (action none).",
                self.action,
                incident,
                fields=FIELDS,
                refusals=(404, 409),
            ),
        ]

    def list(self, call: Call) -> Any:
        """All incidents of a status."""
        wanted = call.query["status"]
        found = self._book.store.state.incidents.values()
        return {"incidents": [incident.as_dict() for incident in found if _has(incident, wanted)]}

    def get(self, call: Call) -> Any:
        """One incident."""
        return self._book.store.incident(call.id).as_dict()

    def acknowledge(self, call: Call) -> Any:
        """Take an incident."""
        return self._book.incidents.acknowledge(call.id, call.by).as_dict()

    def resolve(self, call: Call) -> Any:
        """Close an incident."""
        return self._book.incidents.resolve(call.id, call.by, call.values["note"]).as_dict()

    def note(self, call: Call) -> Any:
        """Write a remark."""
        return self._book.incidents.add_note(call.id, call.by, call.values["text"]).as_dict()

    def action(self, call: Call) -> Any:
        """Report what was done."""
        action = read_action(call.values, self._book.store.clock.now())
        return self._book.incidents.add_action(call.id, action).as_dict()


def _has(incident: Incident, wanted: str) -> bool:
    return wanted == "all" or (incident.is_open if wanted == "open" else incident.status.value == wanted)
