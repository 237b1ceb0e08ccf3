"""A fault that another part of the lab carries out: one row of ConfigMap lab-system/fault-directives.

The row is the whole order. Its reader ends it at `expires_at` by itself, so a fault injector that died leaves
nothing behind that lasts longer than its lease.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.core.clock import parse_rfc3339, rfc3339

DIRECTIVES = ("lab-system", "fault-directives")
"""Namespace and name of the ConfigMap. Key: the journal entry's identity. Value: the row as JSON."""


@dataclass(frozen=True, slots=True)
class FaultRow:
    """parameters: as the fault resolved them, spans in real seconds. seed: of all chance in this row."""

    id: str
    fault: str
    part: str
    parameters: Mapping[str, Any]
    expires_at: datetime | None
    seed: int

    def active(self, now: datetime) -> bool:
        """Whether it bites at that instant."""
        return self.expires_at is None or now < self.expires_at

    def as_json(self) -> str:
        """The value in the ConfigMap."""
        return json.dumps(
            {
                "id": self.id,
                "fault": self.fault,
                "part": self.part,
                "parameters": dict(self.parameters),
                "expiresAt": None if self.expires_at is None else rfc3339(self.expires_at),
                "seed": self.seed,
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> FaultRow:
        """Read a value. Raises ValueError for one that the injector did not write."""
        try:
            data = json.loads(text)
            expires = data["expiresAt"]
            return cls(
                id=str(data["id"]),
                fault=str(data["fault"]),
                part=str(data["part"]),
                parameters=dict(data["parameters"]),
                expires_at=None if expires is None else parse_rfc3339(str(expires)),
                seed=int(data["seed"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a row of a fault: {text[:80]!r}") from error
