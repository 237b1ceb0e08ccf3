"""What the pager's answers look like, in JSON Schema (2020-12, as in OpenAPI 3.1)."""

from __future__ import annotations

from lab.core.approval import ApprovalStatus
from lab.core.incident import IncidentStatus
from lab.pager.fields import Schema
from lab.pager.values import LetterStatus

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
YES: Schema = {"type": "boolean"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MAYBE_INSTANT: Schema = {"type": ["string", "null"], "format": "date-time"}
LABELS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def one_of(*words: str) -> Schema:
    """One of some words."""
    return {"type": "string", "enum": list(words)}


def whole(**properties: Schema) -> Schema:
    """An object with exactly these keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def listed(schema: Schema) -> Schema:
    """A list of such things."""
    return {"type": "array", "items": schema}


def named(name: str) -> Schema:
    """A reference to one of `COMPONENTS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _maybe(name: str) -> Schema:
    return {"anyOf": [named(name), {"type": "null"}]}


_DEED = dict.fromkeys(("verb", "group", "resource", "subresource", "namespace", "name", "reason"), TEXT)

COMPONENTS: dict[str, Schema] = {
    "Refusal": {
        "type": "object",
        "properties": {"error": TEXT, "hint": TEXT},
        "required": ["error"],
        "additionalProperties": False,
    },
    "Target": whole(kind=TEXT, namespace=TEXT, name=TEXT),
    "Action": whole(
        by=TEXT,
        action=TEXT,
        target=named("Target"),
        reason=TEXT,
        startedAt=INSTANT,
        endedAt=INSTANT,
        outcome=TEXT,
    ),
    "Note": whole(at=INSTANT, by=TEXT, text=TEXT),
    "Rung": whole(level=COUNT, name=TEXT, person=TEXT, since=INSTANT, exhaustedAt=MAYBE_INSTANT),
    "Escalation": whole(
        id=TEXT,
        at=INSTANT,
        by=TEXT,
        incident=MAYBE_TEXT,
        summary=TEXT,
        evidence={},
        acknowledgedAt=MAYBE_INSTANT,
        acknowledgedBy=MAYBE_TEXT,
        ladder=_maybe("Rung"),
    ),
    "Incident": whole(
        id=TEXT,
        fingerprint=TEXT,
        alertname=TEXT,
        labels=LABELS,
        annotations=LABELS,
        severity=TEXT,
        status=one_of(*IncidentStatus),
        startsAt=INSTANT,
        openedAt=INSTANT,
        acknowledgedAt=MAYBE_INSTANT,
        acknowledgedBy=MAYBE_TEXT,
        resolvedAt=MAYBE_INSTANT,
        resolvedBy=MAYBE_TEXT,
        escalatedAt=MAYBE_INSTANT,
        endsAt=MAYBE_INSTANT,
        actions=listed(named("Action")),
        notes=listed(named("Note")),
        escalations=listed(named("Escalation")),
        ladder=_maybe("Rung"),
    ),
    "Approval": whole(
        id=TEXT,
        status=one_of(*ApprovalStatus),
        requestedBy=TEXT,
        requestedAt=INSTANT,
        **_DEED,
        restorePoint=TEXT,
        incident=MAYBE_TEXT,
        decidedBy=MAYBE_TEXT,
        decidedAt=MAYBE_INSTANT,
        note=TEXT,
        expiresAt=INSTANT,
        usedAt=MAYBE_INSTANT,
    ),
    "DeadLetter": whole(
        id=TEXT,
        at=INSTANT,
        by=TEXT,
        summary=TEXT,
        payload={"type": "object"},
        incident=MAYBE_TEXT,
        webhook=MAYBE_TEXT,
        status=one_of(*LetterStatus),
        attempts={"type": "integer", "minimum": 1},
        changedAt=MAYBE_INSTANT,
        changedBy=MAYBE_TEXT,
        note=TEXT,
    ),
    "Level": whole(name=TEXT, person=TEXT, labMinutes={"type": "number", "exclusiveMinimum": 0}),
    "Handover": {
        "type": "object",
        "properties": {"at": INSTANT, "from": TEXT, "to": TEXT, "note": TEXT, "summary": TEXT},
        "required": ["at", "from", "to", "note", "summary"],
        "additionalProperties": False,
    },
    "StatusPost": whole(at=INSTANT, by=TEXT, text=TEXT, incident=MAYBE_TEXT),
    "Webhook": whole(name=TEXT, url=TEXT, matchers=listed(TEXT)),
    "HistoryEntry": whole(
        at=INSTANT, kind=TEXT, incident=MAYBE_TEXT, by=TEXT, text=TEXT, data={"type": "object"}
    ),
    "Matcher": {
        "type": "object",
        "properties": {"name": TEXT, "value": TEXT, "isRegex": YES, "isEqual": YES},
        "required": ["name", "value"],
    },
    "Silence": whole(
        id=TEXT,
        status=whole(state=one_of("pending", "active", "expired")),
        matchers=listed(named("Matcher")),
        startsAt=INSTANT,
        endsAt=INSTANT,
        createdBy=TEXT,
        comment=TEXT,
        updatedAt=INSTANT,
    ),
    "PostedAlert": {
        "type": "object",
        "properties": {
            "labels": LABELS,
            "annotations": LABELS,
            "startsAt": INSTANT,
            "endsAt": INSTANT,
            "generatorURL": TEXT,
        },
        "required": ["labels"],
    },
    "Notification": {
        "type": "object",
        "properties": {
            "version": one_of("4"),
            "status": one_of("firing", "resolved"),
            "truncatedAlerts": {"type": "integer", "minimum": 0},
            "alerts": listed(
                {
                    "allOf": [
                        named("PostedAlert"),
                        {"properties": {"status": one_of("firing", "resolved")}, "required": ["status"]},
                    ]
                }
            ),
        },
        "required": ["version", "alerts"],
    },
    "Alert": whole(
        labels=LABELS,
        annotations=LABELS,
        startsAt=INSTANT,
        endsAt=INSTANT,
        updatedAt=INSTANT,
        generatorURL=TEXT,
        fingerprint=TEXT,
        receivers=listed(whole(name=TEXT)),
        status=whole(
            state=one_of("active", "suppressed", "unprocessed"),
            silencedBy=listed(TEXT),
            inhibitedBy=listed(TEXT),
            mutedBy=listed(TEXT),
        ),
    ),
}
"""Every named schema."""
