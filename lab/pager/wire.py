"""Reading request bodies: bounded, checked, and refused with a message that says what to send instead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from aiohttp import web

from lab.core.clock import parse_rfc3339
from lab.core.incident import Action, Target
from lab.errors import UsageError

MAX_BODY = 1024 * 1024
MAX_BY = 128
MAX_TEXT = 8192
MAX_EVIDENCE = 64 * 1024
_MAX_AHEAD = timedelta(minutes=1)


async def read_json(request: web.Request) -> Any:
    """The decoded body. Raises UsageError when it is not JSON, and HTTPRequestEntityTooLarge."""
    content = await request.read()
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"the body is not JSON: {error}") from error


async def read_object(request: web.Request) -> dict[str, Any]:
    """The decoded body, which must be an object. Raises UsageError."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise UsageError(f"the body must be an object, not {type(body).__name__}")
    return body


def text(body: Mapping[str, Any], key: str, *, limit: int = MAX_TEXT, required: bool = True) -> str:
    """A string of a body. Raises UsageError when it is absent though required, too long, or no string."""
    value = body.get(key)
    if value is None or value == "":
        if required:
            raise UsageError(f"{key} is missing")
        return ""
    if not isinstance(value, str):
        raise UsageError(f"{key} must be a string, not {type(value).__name__}")
    if len(value) > limit:
        raise UsageError(f"{key} has {len(value)} characters; {limit} is the limit")
    return value


def author(body: Mapping[str, Any]) -> str:
    """Who speaks: the key `by`. Raises UsageError."""
    return text(body, "by", limit=MAX_BY)


def evidence(body: Mapping[str, Any]) -> Any:
    """Any JSON of bounded size. Raises UsageError."""
    value = body.get("evidence")
    if len(json.dumps(value)) > MAX_EVIDENCE:
        raise UsageError(f"evidence is larger than {MAX_EVIDENCE} characters")
    return value


def action(body: Mapping[str, Any], now: datetime) -> Action:
    """An action; its times default to now. Raises UsageError."""
    target = body.get("target")
    if target is not None and not isinstance(target, dict):
        raise UsageError("target must be an object with kind, namespace and name")
    parts = (text(target or {}, key, limit=253, required=False) for key in ("kind", "namespace", "name"))
    ended_at = _instant(body, "endedAt", now)
    started_at = _instant(body, "startedAt", ended_at)
    if started_at > ended_at:
        raise UsageError("startedAt is after endedAt")
    if ended_at > now + _MAX_AHEAD:
        raise UsageError("endedAt lies in the future; report an action when it is done")
    return Action(
        by=author(body),
        action=text(body, "action", limit=MAX_BY),
        started_at=started_at,
        ended_at=ended_at,
        target=Target(*parts),
        reason=text(body, "reason", required=False),
        outcome=text(body, "outcome", limit=MAX_BY, required=False),
    )


def _instant(body: Mapping[str, Any], key: str, default: datetime) -> datetime:
    value = text(body, key, limit=64, required=False)
    if not value:
        return default
    try:
        return parse_rfc3339(value)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{key} {value!r} is not RFC 3339, like 2026-01-31T12:00:00Z") from error
