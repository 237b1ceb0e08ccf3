"""Alerts as Prometheus pushes them: the body of POST /api/v2/alerts, checked.

Source: Alertmanager's api/v2/openapi.yaml and docs/alerts_api.md; the fingerprint is that of
prometheus/common (FNV-1a, 64 bits, over sorted labels).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.core.clock import parse_rfc3339

MAX_ALERTS = 1000
MAX_LABELS = 64
MAX_NAME = 256
MAX_VALUE = 1024
MAX_ANNOTATION = 8192

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_FNV_OFFSET = 14695981039346656037
_FNV_PRIME = 1099511628211
_SEPARATOR = b"\xff"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a push. starts_at, ends_at: None when the sender left it out.

    until_told: it fires until the sender says otherwise, and not only as long as it is renewed.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    generator_url: str = ""
    until_told: bool = False

    @property
    def name(self) -> str:
        """The label alertname."""
        return self.labels["alertname"]


def fingerprint(labels: Mapping[str, str]) -> str:
    """The 16 hex digits by which Alertmanager knows this set of labels."""
    value = _FNV_OFFSET
    for name in sorted(labels):
        for byte in name.encode() + _SEPARATOR + labels[name].encode() + _SEPARATOR:
            value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def parse_alerts(body: Any) -> tuple[list[Alert], list[str]]:
    """The valid alerts of a push, and a message for each that is not. One bad alert spoils no other."""
    if not isinstance(body, list):
        return [], [f"the body must be a list of alerts, not {type(body).__name__}"]
    if len(body) > MAX_ALERTS:
        return [], [f"{len(body)} alerts in one push; {MAX_ALERTS} is the limit"]
    alerts, problems = [], []
    for index, item in enumerate(body):
        try:
            alerts.append(_alert(item))
        except ValueError as error:
            problems.append(f"alert {index}: {error}")
    return alerts, problems


def _alert(item: Any) -> Alert:
    if not isinstance(item, dict):
        raise ValueError(f"must be an object, not {type(item).__name__}")
    labels = {
        name: value
        for name, value in _strings(item.get("labels"), "labels", MAX_VALUE).items()
        if value  # as in Prometheus, an empty label is no label
    }
    if not labels.get("alertname"):
        raise ValueError("the label alertname is missing")
    starts_at, ends_at = _instant(item, "startsAt"), _instant(item, "endsAt")
    if starts_at and ends_at and ends_at < starts_at:
        raise ValueError(f"endsAt {item['endsAt']} is before startsAt {item['startsAt']}")
    generator = item.get("generatorURL") or ""
    if not isinstance(generator, str) or len(generator) > MAX_ANNOTATION:
        raise ValueError(f"generatorURL must be a string of at most {MAX_ANNOTATION} characters")
    return Alert(
        labels,
        _strings(item.get("annotations"), "annotations", MAX_ANNOTATION),
        starts_at,
        ends_at,
        generator,
    )


def _strings(value: Any, what: str, longest: int) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be an object, not {type(value).__name__}")
    if len(value) > MAX_LABELS:
        raise ValueError(f"{len(value)} {what}; {MAX_LABELS} is the limit")
    for name, text in value.items():
        if len(name) > MAX_NAME or not _LABEL_NAME.fullmatch(name):
            raise ValueError(f"{what}: {name[:60]!r} is not a name")
        if not isinstance(text, str):
            raise ValueError(f"{what}: {name} must be a string, not {type(text).__name__}")
        if len(text) > longest:
            raise ValueError(f"{what}: {name} has {len(text)} characters; {longest} is the limit")
    return dict(value)


def _instant(item: Mapping[str, Any], key: str) -> datetime | None:
    value = item.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError(f"{key} must be an RFC 3339 string")
    if value.startswith("0001-"):  # Go's zero time means absent
        return None
    try:
        return parse_rfc3339(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{key} {value[:60]!r} is not RFC 3339") from error
