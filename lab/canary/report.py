"""What became of each object that the automation changed, when it was to be as before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """The end of one object."""

    RESTORED = "restored"
    WOULD_RESTORE = "would-restore"  # a dry run: the API server accepts it
    CONFLICT = "conflict"  # somebody else changed it since; that was left alone
    NOT_RESTORABLE = "not-restorable"
    NOTHING = "nothing-to-do"


@dataclass(frozen=True, slots=True)
class Item:
    """One object. target: as `deployments.apps shop/worker`. records: the audit records concerned. fields:
    JSON pointers that were given back. reason: what was not, and why; or how it was done."""

    target: str
    records: tuple[int, ...]
    outcome: Outcome
    reason: str = ""
    fields: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return {
            "target": self.target,
            "records": list(self.records),
            "outcome": self.outcome.value,
            "reason": self.reason,
            "fields": list(self.fields),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Item:
        """Read the JSON form."""
        return cls(
            str(data["target"]),
            tuple(data["records"]),
            Outcome(data["outcome"]),
            str(data["reason"]),
            tuple(data["fields"]),
        )


def summary(items: Sequence[Item]) -> str:
    """The report in one line: `2 restored, 1 conflict`."""
    counts = Counter(item.outcome for item in items)
    parts = [f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome]]
    return ", ".join(parts) or "nothing was changed"
