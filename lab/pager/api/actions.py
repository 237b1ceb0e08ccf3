"""The body that reports an action."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from lab.core.incident import Action, Target
from lab.errors import UsageError
from lab.pager.fields import MAX_BY, MAX_NAME, Field, Kind, author, fields_schema, read_fields

_MAX_AHEAD = timedelta(minutes=1)

_TARGET = tuple(
    Field(name, meaning, required=False, limit=MAX_NAME)
    for name, meaning in (
        ("kind", "Such as Pod."),
        ("namespace", "Empty for a cluster-wide object."),
        ("name", "Of the object."),
    )
)
FIELDS = (
    author(),
    Field("action", "What was done, such as restart; none: looked, and decided to do nothing.", limit=MAX_BY),
    Field("target", "The Kubernetes object.", Kind.OBJECT, required=False, schema=fields_schema(_TARGET)),
    Field("reason", "Why.", required=False),
    Field("startedAt", "When the hands-on work began; endedAt when left out.", Kind.INSTANT, required=False),
    Field("endedAt", "When it was done; now when left out.", Kind.INSTANT, required=False),
    Field("outcome", "success, failure, or any short word.", required=False, limit=MAX_BY),
)
"""The body's fields."""


def read_action(values: Mapping[str, Any], now: datetime) -> Action:
    """An action from the fields; its times default to now. Raises UsageError."""
    target = read_fields(_TARGET, values["target"] or {})
    ended_at = values["endedAt"] or now
    started_at = values["startedAt"] or ended_at
    if started_at > ended_at:
        raise UsageError("startedAt is after endedAt")
    if ended_at > now + _MAX_AHEAD:
        raise UsageError("endedAt lies in the future; report an action when it is done")
    return Action(
        by=values["by"],
        action=values["action"],
        started_at=started_at,
        ended_at=ended_at,
        target=Target(target["kind"], target["namespace"], target["name"]),
        reason=values["reason"],
        outcome=values["outcome"],
    )
