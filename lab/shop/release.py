"""A release of the api may have a defect: it is slow, or fails, for all or for some of the customers.

Which customers is decided by a hash of their name, so one customer always meets the same.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from lab.errors import ConfigError

SLOW, FAILING = "slow", "failing"


@dataclass(frozen=True, slots=True)
class Defect:
    """symptom: slow or failing. share: of the customers, 0 to 1. delay_seconds: what a slow one waits."""

    symptom: str
    share: float
    delay_seconds: float = 0.0

    def meets(self, customer: str) -> bool:
        """Whether this customer is among those who meet it."""
        return zlib.crc32(f"release {customer}".encode()) / 2**32 < self.share

    @classmethod
    def from_text(cls, text: str) -> Defect | None:
        """Read RELEASE_DEFECT; empty means none. Raises ConfigError."""
        if not text:
            return None
        try:
            data = json.loads(text)
            defect = cls(data["symptom"], float(data["share"]), float(data["delaySeconds"]))
            if defect.symptom not in (SLOW, FAILING):
                raise ValueError(f"symptom is {SLOW} or {FAILING}, not {defect.symptom!r}")
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError("RELEASE_DEFECT is not one", [str(error)]) from error
        return defect
