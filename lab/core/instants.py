"""Instants on the wire: RFC 3339 in UTC, or null for what has not happened yet."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lab.core.clock import parse_rfc3339, rfc3339


def to_wire(instant: datetime | None) -> str | None:
    """The wire form; None stays None."""
    return None if instant is None else rfc3339(instant)


def optional(value: Any) -> datetime | None:
    """Read the wire form; what is empty or null is None. Raises ValueError."""
    return parse_rfc3339(str(value)) if value else None


def required(value: Any) -> datetime:
    """Read the wire form. Raises ValueError, for what is absent too."""
    return parse_rfc3339(str(value))
