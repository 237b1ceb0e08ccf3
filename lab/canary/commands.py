"""What a person may command a canary, as it stands in ConfigMap lab-system/canary-plan."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lab.core.clock import parse_rfc3339
from lab.errors import UsageError

ACTIONS = ("promote", "abort", "rollback")


@dataclass(frozen=True, slots=True)
class Command:
    """id: carried out once. since, dry_run: of a rollback; RFC 3339, empty for the canary's beginning."""

    id: str
    action: str
    by: str
    reason: str = ""
    since: str = ""
    dry_run: bool = False

    def as_json(self) -> str:
        """As it is written to the ConfigMap."""
        wire: dict[str, Any] = {"id": self.id, "action": self.action, "by": self.by, "reason": self.reason}
        return json.dumps(wire | {"since": self.since, "dryRun": self.dry_run})


def read_command(text: str) -> Command:
    """Understand a command. Raises UsageError saying what is wrong."""
    try:
        data = json.loads(text)
        command = Command(
            id=str(data["id"]),
            action=str(data["action"]),
            by=str(data["by"])[:200],
            reason=str(data.get("reason") or "")[:500],
            since=str(data.get("since") or ""),
            dry_run=data.get("dryRun") is True,
        )
        if command.since:
            parse_rfc3339(command.since)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the command of ConfigMap canary-plan cannot be read: {error!r}"[:300]) from error
    if command.action not in ACTIONS or not command.id or not command.by:
        raise UsageError(f"a command has an id, a name in by, and an action: {', '.join(ACTIONS)}")
    return command
