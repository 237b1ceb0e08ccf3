"""Notifications as an Alertmanager sends them to a webhook: the body of POST /api/v1/alertmanager, checked.

Source: Alertmanager's documentation of webhook_config, payload version 4.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from lab.pager.alerts import Alert, parse_alerts

VERSION = "4"
FIRING, RESOLVED = "firing", "resolved"


def parse_notification(body: Any, now: datetime) -> tuple[list[Alert], list[str]]:
    """The valid alerts of a notification, and a message for each that is not, and for those cut off."""
    if not isinstance(body, dict):
        return [], [f"the body must be an object, not {type(body).__name__}"]
    if body.get("version") != VERSION:
        return [], [f"version must be {VERSION!r}, not {str(body.get('version'))[:20]!r}"]
    items = body.get("alerts")
    if not isinstance(items, list):
        return [], [f"alerts must be a list, not {type(items).__name__}"]
    alerts: list[Alert] = []
    problems = []
    for index, item in enumerate(items):
        status = item.get("status") if isinstance(item, dict) else None
        if status not in (FIRING, RESOLVED):
            problems.append(f"alert {index}: status must be {FIRING} or {RESOLVED}")
            continue
        found, wrong = parse_alerts([item])
        problems += [message.replace("alert 0", f"alert {index}", 1) for message in wrong]
        alerts += [_told(alert, status, now) for alert in found]
    cut = body.get("truncatedAlerts") or 0
    if cut:
        problems.append(f"{cut} alerts were cut off: the receiver's max_alerts must be 0")
    return alerts, problems


def _told(alert: Alert, status: str, now: datetime) -> Alert:
    """The alert as it stands: one that fires has no end yet, one that is resolved has ended by now."""
    if status == FIRING:
        return replace(alert, ends_at=None, until_told=True)
    return replace(alert, ends_at=min(alert.ends_at or now, now))
