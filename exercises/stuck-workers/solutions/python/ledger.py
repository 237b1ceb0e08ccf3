"""What was attempted and how it ended: the success rate that is exported, and the memory across restarts."""

import time
from datetime import datetime
from typing import Any

from lab.automation import sdk

WINDOW = sdk.lab_minutes(60)
TYPES = {"toil_auto_success_rate": "gauge", "toil_remediations_total": "counter"}


class Ledger:
    """Verified outcomes of remediations, exported after each change and as they leave the lab hour."""

    def __init__(self) -> None:
        self._outcomes: list[tuple[float, bool]] = []
        self._tried: set[str] = set()

    def recall(self, incidents: list[dict[str, Any]], by: str) -> None:
        """Learn from the pager what a former run of this program did."""
        for incident in incidents:
            for action in incident["actions"]:
                if action["by"] == by and action["outcome"] in ("success", "failure"):
                    ended = datetime.fromisoformat(action["endedAt"]).timestamp()
                    self._outcomes.append((ended, action["outcome"] == "success"))
                    self._tried.add(incident["id"])

    def tried(self, incident: str) -> bool:
        """Was this incident's worker restarted already?"""
        return incident in self._tried

    def attempt(self, incident: str) -> None:
        """A restart was carried out for this incident."""
        self._tried.add(incident)

    def verified(self, success: bool) -> None:
        """A restart turned out to have cured the partition, or not."""
        self._outcomes.append((time.time(), success))

    def export(self) -> None:
        """Write the metrics file. No sample of the rate when nothing was attempted in the lab hour."""
        recent = [ok for at, ok in self._outcomes if at > time.time() - WINDOW]
        successes = sum(ok for _, ok in self._outcomes)
        samples: dict[str, float] = {
            'toil_remediations_total{result="success"}': successes,
            'toil_remediations_total{result="failure"}': len(self._outcomes) - successes,
        }
        if recent:
            samples["toil_auto_success_rate"] = sum(recent) / len(recent)
        sdk.write_metrics("remediation.prom", samples, TYPES)
